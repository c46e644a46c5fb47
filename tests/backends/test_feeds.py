"""What a session is fed is checked the same way by every backend."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferkit.backends.feeds import check_feeds
from inferkit.errors import BackendError
from inferkit.network.network import TensorInfo

IMAGE = (TensorInfo("data", "float32", (None, 3, 4, 5)),)
TWO = (*IMAGE, TensorInfo("size", "float32", (None, 2)))


def images(batch: int, dtype: str = "float32") -> np.ndarray:
    return np.ones((batch, 3, 4, 5), dtype)


def test_one_array_or_a_dict() -> None:
    for feed in (images(2), {"data": images(2)}):
        arrays, batch = check_feeds(feed, IMAGE, 4)
        assert batch == 2
        assert arrays["data"].shape == (2, 3, 4, 5)


def test_pixels_become_floats_and_nothing_else_is_converted() -> None:
    arrays, _ = check_feeds(images(1, "uint8"), IMAGE, 1)
    assert arrays["data"].dtype == np.float32
    for dtype in ("float64", "float16", "int32", "int8", "bool"):
        with pytest.raises(BackendError, match=rf"'data' takes float32, got {dtype}"):
            check_feeds(images(1, dtype), IMAGE, 1)


def test_what_comes_out_is_contiguous() -> None:
    strided = np.ones((3, 4, 5, 6), np.float32)[..., ::2].transpose(3, 0, 1, 2)
    arrays, batch = check_feeds(strided, IMAGE, 4)
    assert batch == 3
    assert arrays["data"].flags.c_contiguous


@pytest.mark.parametrize(
    "feed, message",
    [
        (images(5), "5 images, but the engine takes 1 to 4"),
        (images(0), "0 images"),
        (np.ones((1, 3, 4), np.float32), r"\[N, 3, 4, 5\], got \[1, 3, 4\]"),
        (np.ones((1, 3, 5, 4), np.float32), r"got \[1, 3, 5, 4\]"),
        ({"image": images(1)}, "unknown image; missing data"),
        ([[1.0]], "numpy array, not list"),
        (None, "numpy array, not NoneType"),
    ],
)
def test_what_does_not_fit_is_refused(feed: object, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        check_feeds(feed, IMAGE, 4)


def test_a_fixed_batch_says_exactly() -> None:
    with pytest.raises(BackendError, match="exactly 4"):
        check_feeds(images(3), IMAGE, 4, 4)


def test_several_inputs_are_fed_by_name_and_agree() -> None:
    with pytest.raises(BackendError, match="2 inputs"):
        check_feeds(images(1), TWO, 4)
    with pytest.raises(BackendError, match="holds 3 images"):
        check_feeds({"data": images(2), "size": np.ones((3, 2), np.float32)}, TWO, 4)


@given(
    hnp.arrays(np.float32, (2, 3, 4, 5), elements=st.floats(-(2.0**120), 2.0**120, width=32)),
    st.sets(st.integers(0, 119), max_size=5),
    st.sets(st.integers(0, 119), max_size=5),
)
def test_every_nan_is_reported_and_infinities_are_not(array: np.ndarray, nans: set[int], infinities: set[int]) -> None:
    array.reshape(-1)[list(infinities)] = np.inf
    if infinities:
        array.reshape(-1)[min(infinities)] = -np.inf  # their sum alone would be NaN
    array.reshape(-1)[list(nans)] = np.nan
    if not nans:
        assert check_feeds(array, IMAGE, 2)[1] == 2
        return
    first = tuple(int(axis) for axis in np.unravel_index(min(nans), array.shape))
    with pytest.raises(BackendError) as caught:
        check_feeds(array, IMAGE, 2)
    assert f"{len(nans)} NaN values, the first at {list(first)}" in str(caught.value)


def test_a_scalar_stays_one_and_batches_are_counted_along_their_axis() -> None:
    inputs = (
        TensorInfo("x", "float32", (None, 4)),
        TensorInfo("state", "float32", (2, None, 4), batch_axis=1),
        TensorInfo("rate", "int64", ()),
    )
    feed = {
        "x": np.ones((3, 4), np.float32),
        "state": np.ones((2, 3, 4), np.float32),
        "rate": np.array(16000, np.int64),
    }
    arrays, batch = check_feeds(feed, inputs, 3)
    assert batch == 3
    assert arrays["rate"].shape == ()
    feed["state"] = feed["state"][:, :2]
    with pytest.raises(BackendError, match="'state' holds 2 images, input 'x' 3"):
        check_feeds(feed, inputs, 3)


def test_a_fixed_batch_says_how_many_it_takes() -> None:
    inputs = (TensorInfo("x", "float32", (2, 4)),)
    with pytest.raises(BackendError, match="exactly 2 images at a time"):
        check_feeds(np.ones((3, 4), np.float32), inputs, 4)
