"""Stand-ins for a dataset: embedded images, brought to the shape and type of an input."""

from __future__ import annotations

import numpy as np
import pytest

from inferkit.data import open_dataset
from inferkit.measure.images import EMBEDDED, stand_in
from inferkit.network.network import TensorInfo


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
