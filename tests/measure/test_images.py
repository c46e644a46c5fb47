"""Stand-ins for a dataset: embedded images, brought to the shape and type of an input."""

from __future__ import annotations

import numpy as np
import pytest

from inferkit.data import open_dataset
from inferkit.errors import UsageError
from inferkit.measure.images import EMBEDDED, stand_in, stand_ins
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


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int64", "int8", "uint8", "bool"])
@pytest.mark.parametrize(("shape", "axis", "made"), [((2, None, 5), 1, (2, 3, 5)), ((7,), None, (7,)), ((), None, ())])
def test_every_input_gets_values_of_its_type_along_its_batch(dtype, shape, axis, made):
    values = stand_in(TensorInfo("x", dtype, shape, batch_axis=axis), 3)
    assert (values.dtype, values.shape) == (np.dtype(dtype), made)
    if made == ():
        assert values == 1  # a divisor, a flag, a rate: none of them is 0


def test_channels_may_come_last():
    last = stand_in(TensorInfo("data", "uint8", (None, 28, 28, 3)), 2)
    first = stand_in(TensorInfo("data", "uint8", (None, 3, 28, 28)), 2)
    np.testing.assert_array_equal(last, first.transpose(0, 2, 3, 1))


def test_no_size_is_invented():
    inputs = [TensorInfo("ids", "int64", (None, None), ("N", "T")), TensorInfo("mask", "bool", (None, 4), ("N", ""))]
    with pytest.raises(UsageError, match=r"'ids' is \[N, T\], and nothing states T;.*shape = \{T = 128\}"):
        stand_ins(inputs, 2)


def test_a_network_without_a_batch_takes_one_item_at_a_time():
    inputs = [TensorInfo("x", "float32", (4, 2), batch_axis=None)]
    assert stand_ins(inputs, 1)["x"].shape == (4, 2)
    with pytest.raises(UsageError, match=r"there is no batch of 2; take batch size 1.*batch_axis = \{x = 0\}"):
        stand_ins(inputs, 2)
