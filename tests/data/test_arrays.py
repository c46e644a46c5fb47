"""Arrays and .npz files are datasets; files with pickles, false headers or bombs are refused."""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferkit.data import ArrayDataset, Preprocessing
from inferkit.data.npy import read_arrays, read_npy
from inferkit.errors import DataError


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def npy_that_says(shape: tuple[int, ...], dtype: str, content: bytes) -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.float32, np.float64, np.int64, np.dtype(">i2"), np.bool_]),
        hnp.array_shapes(min_dims=0, max_side=5),
    ),
    st.booleans(),
)
def test_npy_files_are_read_as_numpy_reads_them(array: np.ndarray, fortran: bool) -> None:
    content = saved(np.asfortranarray(array) if fortran else array)
    expected = np.load(io.BytesIO(content))
    actual = read_npy(content)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


@given(st.data())
@settings(max_examples=150)
def test_damaged_npy_files_are_errors_or_arrays(data: st.DataObject) -> None:
    content = bytearray(saved(np.arange(24, dtype=np.float32).reshape(2, 3, 4)))
    position = data.draw(st.integers(0, len(content) - 1))
    change = data.draw(st.binary(min_size=1, max_size=6))
    content[position : position + len(change)] = change
    with suppress(DataError):
        read_npy(bytes(content))


@pytest.mark.parametrize("compressed", [True, False])
def test_npz_files_round_trip(tmp_path: Path, compressed: bool) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6), np.uint8)
    (np.savez_compressed if compressed else np.savez)(tmp_path / "a.npz", images=images, labels=np.arange(5))
    dataset = ArrayDataset.load(tmp_path / "a.npz")
    batch = next(dataset.batches(5, dtype="uint8"))
    np.testing.assert_array_equal(batch.images, images)
    assert dataset.labels.tolist() == batch.labels.tolist() == [0, 1, 2, 3, 4]
    assert dataset.shape == (3, 4, 6)
    assert batch.keys == ("0", "1", "2", "3", "4")


def test_a_npy_file_has_images_without_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 5, 6), np.float64))
    dataset = ArrayDataset.load(tmp_path / "a.npy")
    assert dataset.shape == (1, 5, 6)
    assert dataset.labels.tolist() == [-1] * 4


def test_channels_last_and_floats() -> None:
    images = np.random.default_rng(0).random((3, 4, 5, 2))
    dataset = ArrayDataset(images, [3, 2, 1], layout="HWC", keys=("a", "b", "c"))
    assert dataset.shape == (2, 4, 5)
    batch = next(dataset.batches(8, preprocessing=Preprocessing(scale=2)))
    np.testing.assert_array_equal(batch.images, images.astype(np.float32).transpose(0, 3, 1, 2) * 2)
    assert batch.keys == ("a", "b", "c")


@pytest.mark.parametrize(
    ("images", "arguments"),
    [
        (np.zeros((2, 3, 4, 4), np.int32), {}),
        (np.zeros((2, 3)), {}),
        (np.zeros((0, 3, 4, 4), np.uint8), {}),
        (np.zeros((2, 4, 4), np.uint8), {"labels": [1]}),
        (np.zeros((2, 4, 4), np.uint8), {"labels": [1.5, 2.5]}),
        (np.zeros((2, 4, 4), np.uint8), {"keys": ["a"]}),
    ],
)
def test_what_does_not_fit_is_refused(images: np.ndarray, arguments: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="array: "):
        ArrayDataset(images, **arguments)


def test_encoded_is_what_arrays_are_not() -> None:
    with pytest.raises(DataError, match="not encoded"):
        list(ArrayDataset(np.zeros((2, 3, 4, 4), np.uint8)).batches(2, preprocessing=Preprocessing(color=False)))


def write_npz(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (saved(np.array([{"a": 1}], dtype=object)), "only arrays of numbers"),
        (npy_that_says((10**15,), "<f8", b"few"), "over the limit max_bytes"),
        (npy_that_says((10**6,), "<f8", b"few"), "truncated"),
        (npy_that_says((-4,), "<f8", b"few"), "only arrays of numbers"),
        (npy_that_says((4,), "O", b"few"), "only arrays of numbers"),
        (b"\x93NUMPY\x01\x00\x05\x00[[[[[", "invalid header"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "truncated within its header|too long"),
        (b"\x93NUMPY\x09\x00\x05\x00\x00\x00[[[[[", "not a .npy file"),
        (b"", "truncated"),
    ],
)
def test_members_that_lie_are_refused(tmp_path: Path, member: bytes, message: str) -> None:
    path = write_npz(tmp_path / "a.npz", {"images.npy": member})
    with pytest.raises(DataError, match=message) as caught:
        ArrayDataset.load(path)
    assert "images.npy" in str(caught.value)


def test_a_compressed_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", {"images.npy": npy_that_says((10**7,), "|u1", bytes(10**7))})
    with pytest.raises(DataError, match="over the limit max_bytes=1000000"):
        read_arrays(path, max_bytes=10**6)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 and no more"])
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz: cannot be read"):
        ArrayDataset.load(path)


def test_an_archive_without_images_says_what_it_has(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", pictures=np.zeros(3))
    with pytest.raises(DataError, match="holds pictures; expected: images"):
        ArrayDataset.load(tmp_path / "a.npz")
    with pytest.raises(DataError, match="does not exist"):
        ArrayDataset.load(tmp_path / "none.npz")


@given(st.binary(max_size=8), st.integers(0, 400))
@settings(max_examples=150)
def test_damaged_archives_are_errors_or_arrays(change: bytes, position: int) -> None:
    file = io.BytesIO()
    np.savez_compressed(file, images=np.zeros((2, 1, 3, 3), np.uint8), labels=np.arange(2))
    content = bytearray(file.getvalue())
    content[position : position + len(change)] = change
    with tempfile.NamedTemporaryFile(suffix=".npz") as damaged:
        damaged.write(content)
        damaged.flush()
        with suppress(DataError):
            list(ArrayDataset.load(damaged.name).batches(2))
