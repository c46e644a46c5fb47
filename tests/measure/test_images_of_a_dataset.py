"""Images that do not fit the network are told with both shapes and what changes them."""

from __future__ import annotations

import numpy as np
import pytest

from inferkit.data import open_dataset
from inferkit.errors import DataError
from inferkit.measure.images import EMBEDDED, open_batches, stand_in
from inferkit.network.network import TensorInfo


@pytest.mark.parametrize(
    ("shape", "fits"),
    [((None, 1, 4, 4), True), ((2, 1, None, None), True), ((None, 3, 4, 4), False), ((None, 16), False)],
)
def test_images_that_do_not_fit_name_the_preprocessing(tmp_path, shape, fits):
    np.savez(tmp_path / "images.npz", images=np.zeros((3, 1, 4, 4), np.uint8), labels=np.zeros(3, np.int64))
    batches = open_batches(str(tmp_path / "images.npz"), 2, {}, TensorInfo("data", "float32", shape))
    if fits:
        assert [batch.count for batch in batches] == [2, 1]
    else:
        with pytest.raises(DataError, match=r"1 × 4 × 4 after preprocessing.*`preprocessing`"):
            next(batches)


def test_images_are_put_straight_into_memory_that_is_given(tmp_path):
    images = np.arange(5 * 3 * 4 * 4, dtype=np.uint8).reshape(5, 3, 4, 4)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(5))
    info = TensorInfo("data", "float32", (None, 3, 4, 4))
    out = [np.empty((2, 3, 4, 4), np.float32) for _ in range(3)]
    seen = []
    for batch in open_batches(str(tmp_path / "images.npz"), 2, {}, info, out=out):
        assert any(batch.images.ctypes.data == memory.ctypes.data for memory in out)
        seen.append(batch.images[: batch.count].copy())
    np.testing.assert_array_equal(np.concatenate(seen), images)
    wrong = [np.empty((2, 1, 9, 9), np.float32)] * 3
    other = TensorInfo("data", "float32", (None, 1, 9, 9))
    with pytest.raises(DataError, match="3 × 4 × 4 after preprocessing"):
        next(open_batches(str(tmp_path / "images.npz"), 2, {}, other, out=wrong))


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_embedded_images_are_centred_for_floats_and_plain_pixels_for_bytes(dtype):
    pixels = next(open_dataset(EMBEDDED).batches(4, dtype="uint8")).images
    expected = pixels if dtype == "uint8" else pixels - np.float32(pixels.mean())
    np.testing.assert_array_equal(stand_in(TensorInfo("data", dtype, (None, 1, 28, 28)), 4), expected)


def test_bytes_brought_to_another_size_do_not_wrap_around():
    images = stand_in(TensorInfo("data", "uint8", (None, 3, 56, 42)), 4)
    assert images.shape == (4, 3, 56, 42)
    assert images.dtype == np.uint8
    assert not images[:, :, 0, 0].any()  # the background is black
