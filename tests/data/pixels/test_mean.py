"""Mean images: every format that Caffe writes is read, ours are read by Caffe's schema; damage is a named error."""

from __future__ import annotations

import io
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferkit.data import ArrayDataset, LmdbDataset, compute_mean, read_mean, write_binaryproto
from inferkit.data.pixels.mean import parse_blob
from inferkit.errors import DataError
from inferkit.network.caffe.files.schema import BlobProto, BlobShape
from inferkit.wire import varint

FIXTURES = Path(__file__).parents[1] / "fixtures"
MEANS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=7), elements=st.floats(-1e6, 1e6, width=32)
)


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_the_mean_of_a_database_is_caffes_own_bit_for_bit() -> None:
    expected = read_mean(FIXTURES / "raw_mean.binaryproto")
    with LmdbDataset(FIXTURES / "raw.mdb") as dataset:
        np.testing.assert_array_equal(compute_mean(dataset), expected)
        assert expected.shape == dataset.shape


def test_what_we_write_is_what_caffe_writes(tmp_path: Path) -> None:
    write_binaryproto(tmp_path / "mean.binaryproto", read_mean(FIXTURES / "raw_mean.binaryproto"))
    assert (tmp_path / "mean.binaryproto").read_bytes() == (FIXTURES / "raw_mean.binaryproto").read_bytes()


@given(MEANS, st.sampled_from(["old", "new", "new without num", "doubles", "unpacked"]))
def test_every_form_of_a_blob_is_read(mean: np.ndarray, form: str) -> None:
    blob = BlobProto()
    if form in ("old", "unpacked"):
        blob.num, (blob.channels, blob.height, blob.width) = 1, mean.shape
    else:
        blob.shape.CopyFrom(BlobShape(dim=mean.shape if form == "new without num" else (1, *mean.shape)))
    if form == "doubles":
        blob.double_data.extend(mean.ravel().tolist())
    elif form != "unpacked":
        blob.data.extend(mean.ravel().tolist())
    content = blob.SerializeToString()
    if form == "unpacked":
        content += b"".join(b"\x2d" + struct.pack("<f", number) for number in mean.ravel())
    parsed = parse_blob(content)
    np.testing.assert_array_equal(parsed.reshape(mean.shape), mean)


@given(MEANS)
def test_npy_files_with_and_without_an_axis_for_the_image(mean: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mean.npy"
        for array in (mean, mean[np.newaxis], mean.astype(np.float64), np.asfortranarray(mean)):
            path.write_bytes(saved(array))
            np.testing.assert_array_equal(read_mean(path), mean)


def test_means_of_channels_keep_one_axis(tmp_path: Path) -> None:
    (tmp_path / "mean.npy").write_bytes(saved(np.array([104, 117, 123.5])))
    assert read_mean(tmp_path / "mean.npy").tolist() == [104, 117, 123.5]


def test_a_gray_mean_image_gets_its_axis_for_the_channel(tmp_path: Path) -> None:
    (tmp_path / "mean.npy").write_bytes(saved(np.ones((4, 5))))
    assert read_mean(tmp_path / "mean.npy").shape == (1, 4, 5)


def test_the_mean_of_images_of_any_type() -> None:
    images = np.random.default_rng(0).integers(0, 256, (70, 2, 3, 4), np.uint8)
    np.testing.assert_allclose(compute_mean(ArrayDataset(images)), images.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"shape \(\)"),
        (BlobProto(num=2, channels=1, height=1, width=1, data=[1, 2]).SerializeToString(), "shape"),
        (BlobProto(num=1, channels=1, height=1, width=3, data=[1, 2]).SerializeToString(), "holds 2 numbers"),
        (BlobProto(num=1, channels=-1, height=-1, width=2, data=[1, 2]).SerializeToString(), "holds 2 numbers"),
        (BlobProto(num=1, channels=1, height=1, width=1, data=[np.nan]).SerializeToString(), "not finite"),
        (BlobProto(shape=BlobShape(dim=[2**62, 4]), data=[1]).SerializeToString(), "holds 1 numbers"),
        (BlobProto(shape=BlobShape(dim=[1] * 40), data=[1]).SerializeToString(), "32 dimensions"),
        (b"\x2a\x04abc", "truncated"),
        (b"\x2a\x03abc", "not a multiple of"),
        (saved(np.zeros((3, 4, 4)))[:-1], "declares 384 bytes"),
        (saved(np.zeros((2, 2, 2, 2))), r"shape \(2, 2, 2, 2\)"),
        (saved(np.zeros((1, 2, 2), bool)), "bool"),
        (saved(np.zeros((0, 2, 2))), r"\(0, 2, 2\)"),
        (saved(np.array([None])), "only arrays of numbers|object"),
        (b"text, not numbers", "message"),
    ],
)
def test_what_is_no_mean_image_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_mean(path)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_mean(tmp_path / "none")
    with pytest.raises(DataError, match="is not a regular file"):
        read_mean(tmp_path)


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"\x08\x01\x10\x01\x18\x02\x20\x02" + tail))
def test_any_bytes_are_a_blob_or_a_data_error(content: bytes) -> None:
    with suppress(DataError):
        assert parse_blob(content).size > 0


@given(st.integers(0, 3000), st.integers(0, 30))
def test_a_file_that_is_cut_or_longer_is_an_error(length: int, more: int) -> None:
    content = (FIXTURES / "raw_mean.binaryproto").read_bytes()
    with pytest.raises(DataError):
        parse_blob(content[:length] + varint(0) * (more + 1))


def test_only_images_with_three_axes_are_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\[C, H, W\]"):
        write_binaryproto(tmp_path / "mean.binaryproto", np.zeros(3))
