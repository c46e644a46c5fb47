"""Mean images: read from `.binaryproto` and `.npy`, and written."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.data.npy import read_npy
from inferkit.errors import DataError
from inferkit.files import write_atomically
from inferkit.wire import (
    MOST_FIELDS,
    as_int32,
    read_key,
    read_length,
    read_numbers,
    read_varint,
    skip,
    too_many_fields,
    varint,
)

MAX_BYTES = 2**31  # no mean image is larger; protobuf's own limit for a message

# Keys of BlobProto: num, channels, height, width = 1…4, data = 5, shape = 7 (BlobShape: dim = 1), double_data = 8.
_LEGACY = {8: 0, 16: 1, 24: 2, 32: 3}
_DATA_PACKED, _DATA, _SHAPE, _DOUBLE_PACKED, _DOUBLE = 42, 45, 58, 66, 65
_DIM, _DIM_PACKED = 8, 10


def read_mean(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """A mean image [C, H, W], or the mean of each channel [C], from a `.binaryproto` or `.npy` file, as float32.

    A binaryproto is a BlobProto, its shape in the old form (num, channels, height, width) or the new. A leading axis of
    one image is dropped; a gray mean image [H, W] becomes [1, H, W]. DataError where the file is missing, damaged, of
    another shape, or holds no finite numbers.
    """
    path = Path(path)
    content = _read(path)
    try:
        mean = read_npy(content) if content[:6] == b"\x93NUMPY" else parse_blob(content)
        if mean.dtype.kind not in "fiu":
            raise DataError(f"it holds {mean.dtype}, not numbers")
        if mean.ndim == 4 and mean.shape[0] == 1:
            mean = mean[0]
        if mean.ndim == 2:
            mean = mean[np.newaxis]
        if mean.ndim not in (1, 3) or mean.size == 0:
            raise DataError(
                f"it has the shape {mean.shape}; expected: [C, H, W] for a mean image, [C] for channel means"
            )
        mean = np.ascontiguousarray(mean, np.float32)
        if not np.isfinite(mean).all():
            raise DataError("it contains numbers that are not finite")
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return mean


def write_binaryproto(path: str | os.PathLike[str], mean: NDArray[Any]) -> None:
    """Write a mean image [C, H, W] as compute_image_mean does: a BlobProto of shape 1 × C × H × W in the old form."""
    if mean.ndim != 3:
        raise DataError(f"{path}: a mean image must have the shape [C, H, W], not {mean.shape}")
    shape = b"\x08\x01\x10%s\x18%s\x20%s" % tuple(varint(size) for size in mean.shape)
    numbers = np.ascontiguousarray(mean, "<f4").tobytes()
    write_atomically(path, shape + b"\x2a" + varint(len(numbers)) + numbers)


def parse_blob(content: bytes | memoryview) -> NDArray[Any]:
    """The array of a serialized BlobProto, float32 or float64. DataError where sizes disagree or bytes are damaged."""
    view = memoryview(content)
    legacy = [0, 0, 0, 0]
    has_legacy = False
    dims: list[int] = []
    parts: dict[str, list[NDArray[Any]]] = {"<f4": [], "<f8": []}
    position, end, count = 0, len(view), 0
    while position < end:
        count += 1
        if count > MOST_FIELDS:
            raise too_many_fields()
        key, position = read_key(view, position, end)
        if key in _LEGACY:
            number, position = read_varint(view, position, end)
            legacy[_LEGACY[key]] = as_int32(number)
            has_legacy = True
        elif key in (_DATA_PACKED, _DOUBLE_PACKED):
            start, position = read_length(view, position, end)
            kind = "<f4" if key == _DATA_PACKED else "<f8"
            if (position - start) % int(kind[2]):
                raise DataError(f"the BlobProto has {position - start} bytes of numbers, not a multiple of {kind[2]}")
            parts[kind].append(np.frombuffer(view[start:position], kind))
        elif key in (_DATA, _DOUBLE):
            kind = "<f4" if key == _DATA else "<f8"
            run, position = read_numbers(view, key, position, end, kind)
            parts[kind].append(run)
        elif key == _SHAPE:
            start, position = read_length(view, position, end)
            dims += _dims(view[start:position])
        else:
            position = skip(view, key, position, end)
    shape = tuple(legacy) if has_legacy else tuple(dims)
    arrays = parts["<f8"] or parts["<f4"]  # as Blob::FromProto: doubles win
    values = np.concatenate(arrays) if arrays else np.empty(0, "<f4")
    if not shape or min(shape) <= 0 or math.prod(shape) != len(values):
        raise DataError(f"the BlobProto declares the shape {shape}, but holds {len(values)} numbers")
    return values.reshape(shape)


def _dims(view: memoryview) -> list[int]:
    dims: list[int] = []
    position, end = 0, len(view)
    while position < end:
        key, position = read_key(view, position, end)
        if key == _DIM:
            number, position = read_varint(view, position, end)
            dims.append(number)
        elif key == _DIM_PACKED:
            _, stop = read_length(view, position, end)
            position = read_varint(view, position, end)[1]
            while position < stop:
                number, position = read_varint(view, position, stop)
                dims.append(number)
        else:
            position = skip(view, key, position, end)
        if len(dims) > 32:
            raise DataError("the BlobProto has more than 32 dimensions")
    return dims


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise DataError(f"{path}: this mean image {'is not a regular file' if path.exists() else 'does not exist'}")
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: this mean image cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: this mean image is larger than {MAX_BYTES} bytes")
    return content
