"""What calibration reads: batch files, TensorRT's caches, and stored ranges."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from inferkit.precision.calibration.batches import BatchFiles, write_batch
from inferkit.precision.calibration.caches import read_cache
from inferkit.precision.calibration.ranges import Histogram, Ranges
from tools.fuzz.target import Target, a_file


def batch_files() -> Iterable[bytes]:
    """Two images, with labels and without."""
    images = np.arange(2 * 3 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2)
    for labels in (None, np.array([1, 2])):
        with tempfile.TemporaryDirectory() as folder:
            write_batch(Path(folder) / "batch0", images, labels)
            yield (Path(folder) / "batch0").read_bytes()


def read_batch_file(content: bytes) -> None:
    with a_file(content, "batch0") as path:
        for batch in BatchFiles(path.parent):
            batch.images.sum()


def read_scales(content: bytes) -> None:
    with a_file(content, "calibration.cache") as path:
        read_cache(path)


def ranges() -> Iterable[bytes]:
    """The ranges of two tensors."""
    found = {name: Histogram.of(np.linspace(0, 1, 9, dtype=np.float32)) for name in ("a", "b")}
    with tempfile.TemporaryDirectory() as folder:
        Ranges(found, 9, "here").save(Path(folder) / "r.npz")
        yield (Path(folder) / "r.npz").read_bytes()


def read_ranges(content: bytes) -> None:
    with a_file(content, "ranges.npz") as path:
        found = Ranges.load(path)
        found.merged(found)


TARGETS = (
    Target("batch_file", read_batch_file, batch_files),
    Target(
        "calibration_cache",
        read_scales,
        lambda: [b"TRT-7000-EntropyCalibration2\ndata: 3c000889\nconv1: 3c8954be\n", b"a: b: 3f800000\n"],
        (b"TRT-", b": ", b"7f800000", b"80000000", b"\r\n"),
    ),
    Target("ranges", read_ranges, ranges, (b"PK\x03\x04", b"\x93NUMPY", b"'<i8'", b"shape"), most_bytes=1 << 14),
)
