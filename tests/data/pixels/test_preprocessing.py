"""Preprocessing does what Caffe's DataTransformer does in TEST phase, and refuses what Caffe refuses."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferkit.data import Preprocessing
from inferkit.errors import DataError, UsageError

SIDES = st.integers(1, 20)
IMAGES = st.tuples(st.sampled_from([1, 3, 4]), SIDES, SIDES).flatmap(lambda shape: hnp.arrays(np.uint8, shape))


def caffe_transforms(image: np.ndarray, crop: int, mean: np.ndarray, scale: float) -> np.ndarray:
    """DataTransformer pixel by pixel, from its description: float32 (pixel - mean) * scale in a centred window."""
    channels, height, width = image.shape
    rows, columns = (crop, crop) if crop else (height, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    out = np.empty((channels, rows, columns), np.float32)
    for c in range(channels):
        for y in range(rows):
            for x in range(columns):
                pixel = np.float32(image[c, top + y, left + x])
                out[c, y, x] = (pixel - np.float32(mean[c, top + y, left + x])) * np.float32(scale)
    return out


@given(IMAGES, st.data())
def test_crop_mean_image_and_scale_are_caffes_bit_for_bit(image: np.ndarray, data: st.DataObject) -> None:
    crop = data.draw(st.integers(0, min(image.shape[1:])))
    mean = data.draw(hnp.arrays(np.float32, image.shape, elements=st.floats(-300, 300, width=32)))
    scale = data.draw(st.sampled_from([1.0, 0.00390625, 0.017, -2.5]))
    preprocessing = Preprocessing(crop=crop, mean=mean, scale=scale)
    expected = caffe_transforms(image, crop, mean, scale)
    np.testing.assert_array_equal(preprocessing(image, layout="CHW"), expected)
    np.testing.assert_array_equal(preprocessing(np.ascontiguousarray(image.transpose(1, 2, 0))), expected)


@given(IMAGES, st.data())
def test_mean_values_are_a_mean_image_of_them(image: np.ndarray, data: st.DataObject) -> None:
    channels = image.shape[0]
    values = data.draw(st.lists(st.floats(-200, 200, width=32), min_size=channels, max_size=channels))
    flat = np.broadcast_to(np.array(values, np.float32).reshape(-1, 1, 1), image.shape)
    by_image = Preprocessing(mean=flat, scale=0.5)(image, "CHW")
    np.testing.assert_array_equal(Preprocessing(mean_values=values, scale=0.5)(image, "CHW"), by_image)
    np.testing.assert_array_equal(Preprocessing(mean=np.array(values), scale=0.5)(image, "CHW"), by_image)
    if channels > 1:
        single = np.broadcast_to(np.float32(values[0]), image.shape)
        np.testing.assert_array_equal(
            Preprocessing(mean_values=values[:1])(image, "CHW"), Preprocessing(mean=single)(image, "CHW")
        )


@given(IMAGES, st.data())
def test_the_order_of_channels_is_changed_before_the_mean_is_subtracted(image: np.ndarray, data: st.DataObject) -> None:
    order = tuple(data.draw(st.permutations(range(image.shape[0]))))
    mean = data.draw(hnp.arrays(np.float32, image.shape, elements=st.floats(-9, 9, width=32)))
    reordered = np.ascontiguousarray(image[list(order)])
    expected = Preprocessing(mean=mean)(reordered, "CHW")
    np.testing.assert_array_equal(Preprocessing(channel_order=order, mean=mean)(image, "CHW"), expected)
    np.testing.assert_array_equal(
        Preprocessing(channel_order=order, mean=mean)(np.ascontiguousarray(image.transpose(1, 2, 0))), expected
    )


@given(IMAGES, st.data())
def test_pixels_only_then_normalization_is_the_whole(image: np.ndarray, data: st.DataObject) -> None:
    crop = data.draw(st.integers(0, min(image.shape[1:])))
    preprocessing = data.draw(
        st.sampled_from(
            [
                Preprocessing(crop=crop, mean=np.full(image.shape, 7.5), scale=0.3),
                Preprocessing(crop=crop, mean_values=(3,), scale=2),
                Preprocessing(crop=crop),
            ]
        )
    )
    pixels = preprocessing.pixels_only()(image, "CHW", dtype=np.uint8)
    assert pixels.dtype == np.uint8
    mean, scale = preprocessing.normalization(image.shape)
    assert mean.shape in (pixels.shape, (image.shape[0], 1, 1))
    expected = preprocessing(image, "CHW")
    np.testing.assert_array_equal((pixels.astype(np.float32) - mean) * np.float32(scale), expected)
    assert preprocessing.output_shape(image.shape) == expected.shape


@given(st.integers(1, 6), IMAGES)
def test_a_batch_is_its_images_written_into_the_given_memory(count: int, image: np.ndarray) -> None:
    images = [image + np.uint8(index) for index in range(count)]
    preprocessing = Preprocessing(crop=min(image.shape[1:]), mean_values=(100,))
    expected = np.stack([preprocessing(each, "CHW") for each in images])
    out = np.full((count + 2, *preprocessing.output_shape(image.shape)), np.nan, np.float32)
    rows = preprocessing.apply(images, out, layout="CHW")
    assert np.shares_memory(rows, out)
    np.testing.assert_array_equal(rows, expected)
    assert np.isnan(out[count:]).all()
    np.testing.assert_array_equal(preprocessing.apply(np.stack(images), layout="CHW"), expected)


def test_gray_images_without_an_axis_for_channels() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(Preprocessing()(image), image[np.newaxis])
    np.testing.assert_array_equal(Preprocessing()(image, layout="CHW"), image[np.newaxis])


def test_floating_point_pixels_pass_through_unrounded() -> None:
    image = np.linspace(-1, 1, 48).reshape(3, 4, 4)
    np.testing.assert_array_equal(Preprocessing()(image, "CHW"), image.astype(np.float32))


def test_images_that_lie_scattered_in_memory() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    mirrored = image[:, ::-1, ::-1]
    np.testing.assert_array_equal(Preprocessing(crop=4)(mirrored), Preprocessing(crop=4)(mirrored.copy()))


def test_sides_may_be_given_as_numpy_has_them_or_as_lists() -> None:
    assert Preprocessing(crop=np.int64(3)) == Preprocessing(crop=[3, 3]) == Preprocessing(crop=(3, 3))  # type: ignore[arg-type]
    assert Preprocessing(resize=4) == Preprocessing(resize=(4, 4))
    assert Preprocessing(crop=0) == Preprocessing(crop=(0, 0)) == Preprocessing()
    assert Preprocessing(mean=np.ones((2, 3))) == Preprocessing(mean=np.ones((1, 2, 3)))


def test_height_and_width_may_differ() -> None:
    image = np.arange(2 * 9 * 6, dtype=np.uint8).reshape(2, 9, 6)
    np.testing.assert_array_equal(Preprocessing(crop=(4, 5))(image, "CHW"), image[:, 2:6, 0:5])
    assert Preprocessing(resize=(20, 10), crop=(4, 5)).output_shape((3, 99, 44)) == (3, 4, 5)
    assert Preprocessing(resize=(20, 10)).output_shape((99, 44, 3), layout="HWC") == (3, 20, 10)


@pytest.mark.parametrize(
    ("preprocessing", "message"),
    [
        (Preprocessing(crop=11), "fewer than the crop 11 × 11"),
        (Preprocessing(crop=(8, 13)), "fewer than the crop 8 × 13"),
        (Preprocessing(mean=np.zeros((3, 9, 12))), r"mean image \(3, 9, 12\)"),
        (Preprocessing(mean=np.zeros((1, 10, 12))), r"mean image \(1, 10, 12\)"),
        (Preprocessing(crop=4, mean=np.zeros((3, 4, 4))), "size of the uncropped image"),
        (Preprocessing(resize=(5, 5), mean=np.zeros((3, 10, 12))), r"\(3, 5, 5\)"),
        (Preprocessing(mean_values=(1, 2)), "2 mean values"),
        (Preprocessing(channel_order=(1, 0)), r"channel_order \(1, 0\)"),
    ],
)
def test_what_does_not_fit_an_image_is_named(preprocessing: Preprocessing, message: str) -> None:
    with pytest.raises(DataError, match=message):
        preprocessing(np.zeros((10, 12, 3), np.uint8))


@pytest.mark.parametrize(
    "fields",
    [
        {"crop": -1},
        {"crop": (3, 0)},
        {"resize": (0, 3)},
        {"resize": (3,)},
        {"mean": np.zeros((3, 2, 2)), "mean_values": (1,)},
        {"mean": np.zeros((2, 3, 4, 4, 4))},
        {"crop": "abc"},
        {"crop": 2.5},
        {"resize": (3, 4, 5)},
        {"resize": [3, None]},
        {"mean": np.zeros((2, 3, 4, 4))},
        {"mean": np.zeros((0, 4, 4))},
        {"mean": np.full((1, 2, 2), np.nan)},
        {"mean_values": (np.inf,)},
        {"scale": np.nan},
        {"channel_order": (0, 0, 1)},
        {"interpolation": "nearest"},
        {"interpolation": {}},
        {"scale": {"0": 5}},
        {"scale": "1"},
        {"mean_values": 5},
        {"mean_values": ("a",)},
        {"channel_order": 5},
        {"channel_order": (1e400,)},
    ],
)
def test_fields_without_sense_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Preprocessing(**fields)


def test_uint8_cannot_hold_what_has_a_mean_or_came_from_floats() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    for preprocessing in (Preprocessing(mean_values=(1,)), Preprocessing(scale=0.5)):
        with pytest.raises(DataError, match="pixels_only"):
            preprocessing(image, dtype=np.uint8)
    with pytest.raises(DataError, match="uint8 cannot hold"):
        Preprocessing()(image.astype(np.float32), dtype=np.uint8)
    with pytest.raises(DataError, match="uint8 cannot hold"):
        Preprocessing(resize=(2, 2), interpolation="caffe.io")(image, dtype=np.uint8)
    with pytest.raises(UsageError, match="float16"):
        Preprocessing()(image, dtype=np.float16)


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3), np.int32), np.zeros((2, 4, 4, 3), np.uint8), np.zeros(4)])
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(DataError):
        Preprocessing()(image)


def test_batches_that_do_not_fit_are_refused() -> None:
    images = [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)]
    with pytest.raises(DataError, match="the first of its batch"):
        Preprocessing().apply(images)
    with pytest.raises(DataError, match="do not fit an output"):
        Preprocessing().apply(images[:1], np.zeros((1, 3, 4, 5), np.float32))
    with pytest.raises(DataError, match="no images"):
        Preprocessing().apply([])


def test_equal_settings_are_equal_and_described_alike() -> None:
    mean = np.random.default_rng(0).random((3, 8, 8))
    first, same = (Preprocessing(crop=4, mean=mean, color=True) for _ in range(2))
    different = Preprocessing(crop=4, mean=mean + 1e-3, color=True)
    assert first == same == pickle.loads(pickle.dumps(first))
    assert hash(first) == hash(same)
    assert first.description == same.description
    assert first != different
    assert first.description != different.description
    assert Preprocessing().description == "none"
    assert "crop=(4, 4)" in first.description
    assert first != "another thing"


def test_the_mean_is_the_preprocessings_own() -> None:
    mean = np.zeros((1, 2, 2), np.float32)
    preprocessing = Preprocessing(mean=mean)
    mean += 5
    assert (preprocessing(np.ones((2, 2), np.uint8)) == 1).all()
