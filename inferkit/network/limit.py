"""The size limit of a network, $INFERKIT_MAX_MODEL_BYTES: no file, however small, can make it use all memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from math import prod
from pathlib import Path

from inferkit.errors import NetworkError, UsageError

VARIABLE = "INFERKIT_MAX_MODEL_BYTES"
MAX_BYTES = 8 << 30  # default: VGG-19, the largest of the zoo, has 575 MB
_CHUNK = 1 << 24


def model_limit() -> int:
    """The most bytes that a model file, its external data or its fillers may take. UsageError for a bad value."""
    text = os.environ.get(VARIABLE)
    try:
        limit = int(text) if text else MAX_BYTES
    except ValueError as error:
        raise UsageError(f"{VARIABLE}={text!r} is not a number of bytes") from error
    if limit < 1:
        raise UsageError(f"{VARIABLE}={limit} must be at least 1 byte")
    return limit


def check_bytes(size: int, what: str) -> None:
    """NetworkError, naming the limit, where `what` takes more than it allows."""
    limit = model_limit()
    if size > limit:
        raise NetworkError(f"{what} takes {size:,} bytes, over the limit of {limit:,} (set {VARIABLE} to change it)")


def check_shape(shape: Sequence[int], what: str) -> None:
    """The same for an array of float32: call it before numpy is asked for the memory."""
    check_bytes(4 * prod(shape), what)


def read_file(path: Path) -> bytes:
    """The whole file. NetworkError where it has more bytes than the limit, or is a device that never ends."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode):
            check_bytes(status.st_size, str(path))
            return file.read()
        content = bytearray()
        while chunk := file.read(_CHUNK):
            content += chunk
            check_bytes(len(content), str(path))
        return bytes(content)
