"""Calibration batch files in the format of TensorRT 3, as NVIDIA's Caffe patch wrote and its samples read them.

A file is int32 N, C, H, W, then float32 [N, C, H, W] (preprocessed images), then optionally N labels as float32, all
little-endian, nothing else. NVIDIA's samples name them `batch0`, `batch1`, … (with labels) and
`batch_calibration0.batch`, … (without).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import PrecisionError
from inferkit.files import write_atomically

_HEADER = struct.Struct("<4i")
NAMES = ("batch{}", "batch_calibration{}.batch")


@dataclass(frozen=True, eq=False)
class CalibrationBatch:
    """Images float32 [N, C, H, W] as the network takes them; labels float32 [N], or None where the file has none."""

    images: NDArray[np.float32]
    labels: NDArray[np.float32] | None = None


def read_batch(path: Path | str) -> CalibrationBatch:
    """Read one file. PrecisionError where it is missing or its size contradicts its header."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            shape = _read_header(path, file.read(_HEADER.size), os.fstat(file.fileno()).st_size)
            images = np.fromfile(file, dtype="<f4", count=int(np.prod(shape))).reshape(shape)
            labels = np.fromfile(file, dtype="<f4")
    except OSError as error:
        raise PrecisionError(f"batch file {path}: cannot be read: {error}") from error
    except ValueError as error:  # the file was cut while it was read
        raise PrecisionError(f"batch file {path}: changed while being read: {error}") from error
    images = images.astype(np.float32, copy=False)
    return CalibrationBatch(images, labels.astype(np.float32, copy=False) if labels.size else None)


def _read_header(path: Path, header: bytes, size: int) -> tuple[int, int, int, int]:
    if len(header) < _HEADER.size:
        raise PrecisionError(f"batch file {path}: has {size} bytes, fewer than its header's {_HEADER.size}")
    number, channels, height, width = _HEADER.unpack(header)
    shape = (number, channels, height, width)
    shown = " x ".join(map(str, shape))
    if min(shape) < 1:
        raise PrecisionError(f"batch file {path}: the header declares {shown}; this is not a little-endian batch file")
    without = _HEADER.size + 4 * number * channels * height * width
    if size not in (without, without + 4 * number):
        raise PrecisionError(
            f"batch file {path}: the header declares {shown}, which takes {without} bytes "
            f"({without + 4 * number} with labels), but the file has {size}"
        )
    return shape


def write_batch(path: Path | str, images: NDArray[np.float32], labels: NDArray | None = None) -> None:
    """Write one file, whole or not at all. `images` float32 [N, C, H, W], `labels` [N]; PrecisionError otherwise."""
    if images.ndim != 4 or images.size == 0 or images.dtype != np.float32:
        raise PrecisionError(
            f"batch file {path}: images are {images.dtype} {list(images.shape)}, not float32 [N,C,H,W]"
        )
    parts = [_HEADER.pack(*images.shape), np.ascontiguousarray(images, dtype="<f4").tobytes()]
    if labels is not None:
        if labels.shape != images.shape[:1]:
            raise PrecisionError(f"batch file {path}: {labels.shape} labels for {images.shape[0]} images")
        parts.append(labels.astype("<f4").tobytes())
    write_atomically(path, b"".join(parts))


@dataclass(frozen=True)
class BatchFiles:
    """The batch files `first` to `first + count - 1` of a folder, read one at a time.

    `name` is the pattern of the file names with `{}` for the number; None takes whichever of NAMES is there.
    `count` None means all up to the first number that is missing. With a count, a missing file is an error, or ends the
    sequence where `missing` is "end" (at least one file must be there).
    """

    folder: Path | str
    first: int = 0
    count: int | None = None
    name: str | None = None
    missing: Literal["error", "end"] = "error"

    def __post_init__(self) -> None:
        if self.first < 0 or (self.count is not None and self.count < 1):
            raise PrecisionError(f"batch files: first {self.first} and count {self.count} select no file")
        if self.name is not None:
            _check_name(self.name)

    @property
    def pattern(self) -> str:
        """The file name pattern in use. PrecisionError where the folder has no first file."""
        for pattern in NAMES if self.name is None else (self.name,):
            if (Path(self.folder) / pattern.format(self.first)).is_file():
                return pattern
        wanted = " or ".join(pattern.format(self.first) for pattern in (NAMES if self.name is None else (self.name,)))
        raise PrecisionError(
            f"calibration folder {self.folder}: has no {wanted}; "
            f"if it is a dataset, such as a folder of images, give it as --calibration-data {self.folder}; batch files "
            "are written by `inferkit calibrate MODEL DATASET --write-batches FOLDER`"
        )

    def __iter__(self) -> Iterator[CalibrationBatch]:
        """PrecisionError where a file is missing, damaged, or of another shape than the first."""
        pattern = self.pattern
        shape: tuple[int, ...] | None = None
        number = self.first
        while self.count is None or number < self.first + self.count:
            path = Path(self.folder) / pattern.format(number)
            if number > self.first and not path.exists() and (self.count is None or self.missing == "end"):
                return
            batch = read_batch(path)
            shape = shape or batch.images.shape
            if batch.images.shape != shape:
                raise PrecisionError(
                    f"batch file {path}: has the shape {list(batch.images.shape)}, the first file {list(shape)}"
                )
            yield batch
            number += 1


def _check_name(name: str) -> None:
    if "{}" not in name:
        raise PrecisionError(f"batch files: the name {name!r} has no {{}} for the number")


def write_batches(
    folder: Path | str, batches: Iterable[tuple[NDArray[np.float32], NDArray | None]], name: str = NAMES[0]
) -> int:
    """Write (images, labels or None) pairs as `name` 0, 1, …; returns how many files. Every batch but the last should
    be of one size: readers demand one shape, so a smaller last one is left out unless it is the only one.

    PrecisionError for a name without `{}`, before anything is written, and where a file that was there before follows
    the last one: readers would take it for one of these."""
    _check_name(name)
    size: int | None = None
    written = 0
    for images, labels in batches:
        size = size or images.shape[0]
        if images.shape[0] != size:
            break
        write_batch(Path(folder) / name.format(written), images, labels)
        written += 1
    beyond = Path(folder) / name.format(written)
    if written and beyond.exists():
        raise PrecisionError(
            f"calibration folder {folder}: {written} files were written, but an older {beyond.name} would be read "
            f"with them; remove it and the files after it, or choose an empty folder"
        )
    return written
