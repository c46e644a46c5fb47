"""Properties of the two resizing methods of Caffe. That they equal Caffe's own is tested against real Caffe."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferkit.data import Preprocessing
from inferkit.data.pixels.resize import resize_caffe_io, resize_mean, resize_opencv
from inferkit.errors import DataError

SIZES = st.tuples(st.integers(1, 30), st.integers(1, 30))
IMAGES = st.tuples(st.integers(1, 24), st.integers(1, 24), st.sampled_from([1, 3])).flatmap(
    lambda shape: hnp.arrays(np.uint8, shape)
)


@given(IMAGES, SIZES)
def test_both_ways_give_the_size_asked_for_within_the_images_values(image: np.ndarray, size: tuple[int, int]) -> None:
    for resize in (resize_opencv, resize_caffe_io):
        resized = resize(image, size)
        assert resized.shape == (*size, image.shape[2])
        # caffe.io computes in float32, to a few units in the last of 24 bits.
        assert resized.min() >= image.min() - 1e-3
        assert resized.max() <= image.max() + 1e-3


@given(IMAGES)
def test_the_same_size_is_the_same_image(image: np.ndarray) -> None:
    np.testing.assert_array_equal(resize_opencv(image, image.shape[:2]), image)
    np.testing.assert_array_equal(resize_caffe_io(image, image.shape[:2]), image)


@given(st.integers(0, 255), SIZES, SIZES)
def test_a_flat_image_stays_flat(value: int, size: tuple[int, int], to: tuple[int, int]) -> None:
    image = np.full((*size, 3), value, np.uint8)
    assert (resize_opencv(image, to) == value).all()
    assert (resize_caffe_io(image, to) == value).all()


@given(IMAGES, SIZES)
def test_layouts_are_resized_alike(image: np.ndarray, size: tuple[int, int]) -> None:
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    for interpolation in ("opencv", "caffe.io"):
        preprocessing = Preprocessing(resize=size, interpolation=interpolation)
        np.testing.assert_array_equal(preprocessing(image), preprocessing(planes, "CHW"))


def test_opencv_resizing_is_its_bilinear_default() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    np.testing.assert_array_equal(resize_opencv(image, (17, 50)), cv2.resize(image, (50, 17)))


def test_caffe_io_resizing_smooths_before_it_shrinks() -> None:
    # A pattern of single pixels: four-pixel interpolation keeps parts of it, smoothing takes it away.
    image = np.indices((64, 64)).sum(axis=0)[..., np.newaxis] % 2 * np.uint8(255)
    inner = resize_caffe_io(image.astype(np.uint8), (16, 16))[3:-3, 3:-3]
    assert abs(inner - 127.5).max() < 2


def test_other_channel_numbers_are_refused_by_caffe_ios_way() -> None:
    with pytest.raises(DataError, match="4 channels"):
        resize_caffe_io(np.zeros((4, 4, 4), np.uint8), (2, 2))


def test_a_mean_image_is_brought_to_another_size() -> None:
    mean = np.random.default_rng(0).uniform(90, 130, (3, 32, 48)).astype(np.float32)
    resized = resize_mean(mean, (16, 24))
    assert resized.shape == (3, 16, 24)
    np.testing.assert_allclose(resized.mean(), mean.mean(), rtol=0.05)
