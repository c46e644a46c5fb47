"""Calibration batch files: int32 N, C, H, W, float32 images, and labels or none."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from inferkit.errors import PrecisionError
from inferkit.precision.calibration.batches import NAMES, BatchFiles, read_batch, write_batch, write_batches

IMAGES = hnp.arrays(
    np.float32, st.tuples(*[st.integers(1, 4)] * 4), elements=st.floats(width=32, allow_nan=False), fill=st.nothing()
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batches")


def numbered(count: int, shape: tuple[int, ...] = (2, 3, 4, 5)) -> list[NDArray[np.float32]]:
    return [np.full(shape, number, dtype=np.float32) for number in range(count)]


@settings(max_examples=50)
@given(images=IMAGES, labelled=st.booleans())
def test_what_is_written_is_read_back(folder: Path, images: NDArray[np.float32], labelled: bool) -> None:
    labels = np.arange(images.shape[0]) if labelled else None
    write_batch(folder / "batch0", images, labels)
    result = read_batch(folder / "batch0")
    np.testing.assert_array_equal(result.images, images)
    assert result.images.dtype == np.float32
    if labels is None:
        assert result.labels is None
    else:
        np.testing.assert_array_equal(result.labels, labels)


def test_the_layout_is_that_of_the_caffe_patch(tmp_path: Path) -> None:
    write_batch(tmp_path / "batch0", np.float32([[[[1.5, -2.0]]]]), np.array([7]))
    assert (tmp_path / "batch0").read_bytes() == struct.pack("<4i2ff", 1, 1, 1, 2, 1.5, -2.0, 7.0)


@settings(max_examples=100)
@given(content=st.binary(max_size=80))
def test_hostile_bytes_are_an_error_that_names_the_file(folder: Path, content: bytes) -> None:
    (folder / "batch9").write_bytes(content)
    shape = struct.unpack("<4i", content[:16]) if len(content) >= 16 else (0,)
    size = 16 + 4 * math.prod(shape)
    if min(shape) > 0 and len(content) in (size, size + 4 * shape[0]):
        read_batch(folder / "batch9")
        return
    with pytest.raises(PrecisionError, match="batch9"):
        read_batch(folder / "batch9")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ((2**31 - 1, 2**31 - 1, 2**31 - 1, 2**31 - 1), "which takes"),
        ((1, 0, 1, 1), "not a little-endian batch file"),
        ((-1, 3, 2, 2), "not a little-endian batch file"),
        ((1 << 24, 3 << 24, 2 << 24, 2 << 24), "which takes"),  # a big-endian header
        ((1, 1, 1, 2), "which takes 24 bytes \\(28 with labels\\), but the file has 20"),
    ],
)
def test_a_header_that_does_not_fit_the_file_is_refused(tmp_path: Path, header: tuple[int, ...], message: str) -> None:
    (tmp_path / "batch0").write_bytes(struct.pack("<4i", *header) + b"\0" * 4)
    with pytest.raises(PrecisionError, match=message):
        read_batch(tmp_path / "batch0")


@pytest.mark.parametrize("name", NAMES)
def test_either_naming_is_found_and_read_in_order(tmp_path: Path, name: str) -> None:
    for number, images in enumerate(numbered(12)):  # two digits: no alphabetical order
        write_batch(tmp_path / name.format(number), images)
    assert [batch.images[0, 0, 0, 0] for batch in BatchFiles(tmp_path)] == list(range(12))
    assert [batch.images[0, 0, 0, 0] for batch in BatchFiles(tmp_path, first=3, count=4)] == [3, 4, 5, 6]


def test_a_missing_file_is_an_error_or_the_end_as_asked(tmp_path: Path) -> None:
    write_batches(tmp_path, ((images, None) for images in numbered(3)))
    assert len(list(BatchFiles(tmp_path))) == 3
    assert len(list(BatchFiles(tmp_path, count=10, missing="end"))) == 3
    with pytest.raises(PrecisionError, match="batch3"):
        list(BatchFiles(tmp_path, count=10))
    for files in (
        BatchFiles(tmp_path, first=5),
        BatchFiles(tmp_path / "nowhere"),
        BatchFiles(tmp_path, name="b{}.bin"),
    ):
        with pytest.raises(PrecisionError, match="has no "):
            list(files)


def test_files_of_another_shape_are_refused(tmp_path: Path) -> None:
    write_batch(tmp_path / "batch0", numbered(1)[0])
    write_batch(tmp_path / "batch1", numbered(1, (2, 3, 5, 4))[0])
    with pytest.raises(PrecisionError, match=r"batch1.*\[2, 3, 5, 4\].*\[2, 3, 4, 5\]"):
        list(BatchFiles(tmp_path))


def test_a_smaller_last_batch_is_left_out_since_readers_demand_one_shape(tmp_path: Path) -> None:
    pairs = [(images, None) for images in (*numbered(2), numbered(1, (1, 3, 4, 5))[0])]
    assert write_batches(tmp_path, pairs) == 2
    assert len(list(BatchFiles(tmp_path))) == 2


@pytest.mark.parametrize("images", [np.zeros((1, 2, 3)), np.zeros((1, 1, 2, 2)), np.zeros((0, 1, 2, 2), np.float32)])
def test_only_float32_images_are_written(tmp_path: Path, images: NDArray) -> None:
    with pytest.raises(PrecisionError, match="not float32"):
        write_batch(tmp_path / "batch0", images)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"first": -1}, {"count": 0}, {"name": "batch"}])
def test_selections_without_sense_are_refused(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(PrecisionError, match="batch files"):
        BatchFiles(tmp_path, **wrong)


def test_a_name_without_a_number_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(PrecisionError, match=r"has no \{\} for the number"):
        write_batches(tmp_path, ((images, None) for images in numbered(3)), "batch")
    assert not list(tmp_path.iterdir())


def test_an_older_file_after_the_last_one_is_said(tmp_path: Path) -> None:
    batch = (np.ones((2, 1, 3, 3), np.float32), None)
    assert write_batches(tmp_path, [batch] * 3) == 3
    assert write_batches(tmp_path, [batch] * 3) == 3
    with pytest.raises(PrecisionError, match="an older batch2"):
        write_batches(tmp_path, [batch] * 2)
