"""Writes an LMDB that Caffe reads, atomically: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.data.lmdb.datum import serialize_datum, serialize_encoded_datum
from inferkit.errors import DataError, UsageError
from inferkit.files import sync_folder

if TYPE_CHECKING:
    import lmdb

_FIRST_MAP = 1 << 24  # bytes; doubled as often as needed. The file itself is as long as its content
_COMMIT_BYTES = 1 << 26  # a transaction keeps what it wrote in memory
_LONGEST_KEY = 511


def write_lmdb(
    path: str | os.PathLike[str],
    images: Iterable[NDArray[Any] | bytes],
    labels: Iterable[int],
    encoded: str | None = None,
    *,
    names: Sequence[str] | None = None,
) -> None:
    """Write images and labels to a new LMDB folder `path`, with keys as convert_imageset makes them (`%08d_name`).

    An image is [C, H, W] or gray [H, W], uint8 or floats (written as float_data), or the bytes of an image file, which
    are stored as they are, encoded. `encoded` (`jpg`, `png`) encodes the arrays, which then have 1 or 3 channels, BGR.
    `names` are the keys' second part (default: the number again).

    A run that is killed leaves at most a hidden folder beside `path`, never a part of an LMDB under its name. DataError
    where `path` exists, an image or label cannot be stored, images and labels differ in number, or the disk is full.
    """
    import lmdb

    target = Path(path)
    if os.path.lexists(target):
        raise DataError(f"{target}: exists already; remove it or choose another name")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
        temporary.mkdir()
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error
    try:
        # No syncing while it is written: the folder gets its name only after all of it has reached the disk.
        environment = lmdb.open(str(temporary), map_size=_FIRST_MAP, sync=False, metasync=False)
        try:
            _put_all(environment, _records(images, labels, encoded, names, str(target)))
            environment.sync(True)
        finally:
            environment.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary / "lock.mdb")
        # Onto an empty folder that appeared meanwhile rename works, onto any other it fails.
        os.rename(temporary, target)
        sync_folder(target.parent)
    except (OSError, lmdb.Error) as error:
        raise DataError(f"{target}: cannot be written: {getattr(error, 'strerror', None) or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_all(environment: lmdb.Environment, records: Iterable[tuple[bytes, bytes]]) -> None:
    group: list[tuple[bytes, bytes]] = []
    size = 0
    for key, value in records:
        group.append((key, value))
        size += len(value) + 4096
        if size >= _COMMIT_BYTES:
            _put(environment, group)
            group, size = [], 0
    _put(environment, group)


def _put(environment: lmdb.Environment, group: list[tuple[bytes, bytes]]) -> None:
    """Commit a group of records. Where the map is full, double it and write the group again."""
    import lmdb

    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, value in group:
                    if not transaction.put(key, value, overwrite=False, append=True):
                        raise DataError(f"the key {key!r} occurs twice")
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])


def _records(
    images: Iterable[NDArray[Any] | bytes],
    labels: Iterable[int],
    encoded: str | None,
    names: Sequence[str] | None,
    source: str,
) -> Iterable[tuple[bytes, bytes]]:
    end = object()
    pairs = zip(chain(images, [end]), chain(labels, [end]), strict=False)
    for index, (image, label) in enumerate(pairs):
        if image is end or label is end:
            if image is not label:
                raise DataError(f"{source}: there are {'fewer images' if image is end else 'more images'} than labels")
            if names is not None and index != len(names):
                raise DataError(f"{source}: there are {index} images, but {len(names)} names")
            return
        if names is not None and index >= len(names):
            raise DataError(f"{source}: there are more images than the {len(names)} names")
        key = f"{index:08d}_{names[index] if names is not None else index}".encode()
        if len(key) > _LONGEST_KEY:
            raise DataError(f"{source}: the name of image {index} is longer than LMDB's keys ({_LONGEST_KEY} bytes)")
        try:
            yield key, _value(image, int(label), encoded)  # type: ignore[arg-type, call-overload]
        except DataError as error:
            raise DataError(f"{source}: image {index}: {error}") from error


def _value(image: NDArray[Any] | bytes, label: int, encoded: str | None) -> bytes:
    if not -(2**31) <= label < 2**31:
        raise DataError(f"the label {label} does not fit into 32 bits")
    if isinstance(image, bytes):
        return serialize_encoded_datum(image, label)
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[np.newaxis]
    if pixels.ndim != 3 or pixels.size == 0 or (pixels.dtype != np.uint8 and pixels.dtype.kind != "f"):
        raise DataError(
            f"it has the shape {pixels.shape} and the type {pixels.dtype}; expected: [C, H, W] of uint8 or floats"
        )
    if encoded is None:
        return serialize_datum(pixels, label)
    return serialize_encoded_datum(_encode(pixels, encoded), label)


def _encode(pixels: NDArray[Any], encoded: str) -> bytes:
    import cv2

    if pixels.dtype != np.uint8 or pixels.shape[0] not in (1, 3):
        raise DataError(
            f"{pixels.dtype} pixels in {pixels.shape[0]} channels cannot be encoded; expected: uint8 in 1 or 3 channels"
        )
    try:
        ok, content = cv2.imencode(f".{encoded.removeprefix('.')}", np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    except cv2.error as error:
        raise UsageError(f"unknown image format {encoded!r}: {error}") from error
    if not ok:
        raise DataError(f"it cannot be encoded as {encoded}")
    return bytes(content)
