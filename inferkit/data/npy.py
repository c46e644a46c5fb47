"""Reads arrays from .npy and .npz files: without pickle, and without allocating memory for numbers the file lacks."""

from __future__ import annotations

import ast
import lzma
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import DataError

MAX_BYTES = 2**32  # of all arrays out of a compressed file: deflate makes a thousand bytes of one
# Whatever zipfile raises for a damaged archive: names in no encoding, offsets beyond any file, unknown compression.
_ARCHIVE_ERRORS = (
    *(OSError, ValueError, OverflowError, EOFError, NotImplementedError, RuntimeError),
    *(struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000  # bytes, as numpy itself allows
_CHUNK = 1 << 20


def read_npy(content: bytes) -> NDArray[Any]:
    """The array in the bytes of a .npy file, a view of them. DataError where they are damaged, cut, or hold objects."""
    dtype, shape, fortran, start = _header(content)
    size = math.prod(shape) * dtype.itemsize
    if len(content) - start != size:
        raise DataError(f"the array declares {size} bytes of numbers, but holds {len(content) - start}")
    return _shaped(np.frombuffer(content, dtype, offset=start), shape, fortran)


def read_arrays(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file by name, or {"images": array} of a .npy file.

    DataError where the file is missing, damaged, holds objects, or arrays of more than `max_bytes` together.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise DataError(f"{path}: {'is not a regular file' if path.exists() else 'does not exist'}")
        with open(path, "rb") as file:
            if file.read(len(_MAGIC)) == _MAGIC:
                file.seek(0)
                return {"images": _read_member(file, max_bytes, str(path))}
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            arrays: dict[str, NDArray[Any]] = {}
            for name in names:
                remaining_bytes = max_bytes - sum(array.nbytes for array in arrays.values())
                with archive.open(name) as member:
                    arrays[name.removesuffix(".npy")] = _read_member(member, remaining_bytes, f"{path}: {name}")
            return arrays
    except _ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: cannot be read as .npy or .npz: {error}") from error


def read_shapes(path: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays that `read_arrays` would read, from their headers alone. DataError as there."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            if file.read(len(_MAGIC)) == _MAGIC:
                file.seek(0)
                return {"images": _read_header(file, str(path))[1]}
        with zipfile.ZipFile(path) as archive:
            shapes = {}
            for name in (name for name in archive.namelist() if name.endswith(".npy")):
                with archive.open(name) as member:
                    shapes[name.removesuffix(".npy")] = _read_header(member, f"{path}: {name}")[1]
            return shapes
    except _ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: cannot be read as .npy or .npz: {error}") from error


def _read_header(file: Any, where: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Type, shape and Fortran order of the array that begins here; the file is then where its numbers begin."""
    try:
        head = _read(file, 12)
        length = struct.unpack_from("<H" if head[6:7] == b"\x01" else "<I", head, 8)[0]
        start = (10 if head[6:7] == b"\x01" else 12) + min(length, _LONGEST_HEADER + 1)
        dtype, shape, fortran, _ = _header(head + _read(file, max(start - 12, 0)))
    except (DataError, struct.error) as error:
        raise DataError(f"{where}: {error}") from error
    return dtype, shape, fortran


def _read_member(file: Any, max_bytes: int, where: str) -> NDArray[Any]:
    """One array. Memory is allocated as numbers arrive, so a false header costs nothing."""
    dtype, shape, fortran = _read_header(file, where)
    size = math.prod(shape) * dtype.itemsize
    if size > max_bytes:
        raise DataError(f"{where}: the array declares {size} bytes of numbers, over the limit max_bytes={max_bytes}")
    content = bytearray()
    while len(content) < size:
        chunk = file.read(min(_CHUNK, size - len(content)))
        if not chunk:
            raise DataError(f"{where}: the array is truncated: it has {len(content)} of {size} bytes of numbers")
        content += chunk
    return _shaped(np.frombuffer(content, dtype), shape, fortran)


def _read(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise DataError("the array is truncated within its header")
    return content


def _header(content: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Type, shape, Fortran order, and where the numbers begin."""
    if content[:6] != _MAGIC or content[6:7] not in (b"\x01", b"\x02", b"\x03"):
        raise DataError("it is not a .npy file")
    wide = content[6:7] != b"\x01"
    begin = 12 if wide else 10
    if len(content) < begin:
        raise DataError("the array is truncated within its header")
    (length,) = struct.unpack_from("<I" if wide else "<H", content, 8)
    if length > _LONGEST_HEADER or len(content) < begin + length:
        raise DataError(f"the array declares a header of {length} bytes, which is too long or missing")
    try:
        fields = ast.literal_eval(content[begin : begin + length].decode("latin-1"))
        descr, shape, fortran = fields["descr"], fields["shape"], fields["fortran_order"]
        if not isinstance(descr, str) or not isinstance(shape, tuple):
            raise TypeError("unexpected field types")
        dtype = np.dtype(descr)
        valid = dtype.kind in "biufc" and all(isinstance(size, int) and 0 <= size < 2**63 for size in shape)
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise DataError(f"the array has an invalid header: {error}") from error
    if not valid or len(shape) > 32:
        raise DataError(f"the array holds {dtype} of the shape {shape}; only arrays of numbers are supported")
    return dtype, shape, bool(fortran), begin + length


def _shaped(flat: NDArray[Any], shape: tuple[int, ...], fortran: bool) -> NDArray[Any]:
    return flat.reshape(shape, order="F" if fortran else "C")
