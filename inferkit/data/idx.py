"""The IDX format of MNIST and Fashion-MNIST, gzipped, read strictly. Format: http://yann.lecun.com/exdb/mnist/."""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import DataError

_UINT8 = 0x08
_CHUNK = 1 << 20


def read_idx(compressed: bytes, source: str = "IDX file") -> NDArray[np.uint8]:
    """The array in a gzipped IDX file of unsigned bytes. DataError where anything in it is not as it should be.

    Memory is taken as bytes arrive, not as the header says, and no more than one byte beyond what it says.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(compressed)) as file:
        try:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] != _UINT8 or not head[3]:
                raise DataError(f"{source}: is no IDX file of unsigned bytes (it begins with {head!r})")
            sizes = file.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise DataError(f"{source}: is cut short within its header")
            shape = struct.unpack(f">{head[3]}I", sizes)
            size = math.prod(shape)
            content = bytearray()
            while len(content) <= size and (chunk := file.read(min(_CHUNK, size + 1 - len(content)))):
                content += chunk
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{source}: cannot be unpacked: {error}") from error
    if len(content) != size:
        relation = "more" if len(content) > size else f"only {len(content)}"
        raise DataError(f"{source}: says the shape {shape}, {size} bytes, but holds {relation}")
    return np.frombuffer(content, np.uint8).reshape(shape)
