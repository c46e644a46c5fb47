"""Calibration methods: each finds amax by its own criterion from one and the same histogram."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from inferkit.errors import PrecisionError, UsageError
from inferkit.precision.calibration.methods import (
    METHODS,
    Calibration,
    Method,
    calibration_from,
    method,
    mse_amax,
    percentile_amax,
)
from inferkit.precision.calibration.ranges import Histogram, Ranges

VALUES = hnp.arrays(np.float32, st.integers(1, 200), elements=st.floats(-1e6, 1e6, width=32))


@given(VALUES, st.sampled_from(METHODS))
def test_no_method_reaches_beyond_what_was_seen(values: NDArray[np.float32], name: str) -> None:
    amax = Method(name).amax(Histogram.of(values))
    maximum = float(np.abs(values).max())
    assert 0 <= amax <= maximum
    assert (amax == 0) == (maximum == 0)


@given(VALUES, st.floats(50, 100))
def test_a_percentile_keeps_at_least_its_share(values: NDArray[np.float32], share: float) -> None:
    histogram = Histogram.of(values)
    amax = percentile_amax(histogram, share)
    assert np.mean(np.abs(values) <= amax) * 100 >= share - 1e-9
    assert percentile_amax(histogram, 100.0) == histogram.maximum


def test_a_percentile_is_right_to_one_bin() -> None:
    values = np.random.default_rng(0).standard_normal(1_000_000).astype(np.float32)
    histogram = Histogram.of(values)
    exact = float(np.quantile(np.abs(values), 0.9999))
    assert exact <= percentile_amax(histogram, 99.99) <= exact + histogram.width


def test_the_squared_error_is_least_where_rounding_and_clipping_balance() -> None:
    values = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)

    def error(amax: float) -> float:
        codes = np.clip(np.rint(values * 127 / amax), -127, 127)
        return float(np.mean((codes * (amax / 127) - values) ** 2))

    result = mse_amax(Histogram.of(values))
    best = min(error(amax) for amax in np.linspace(1.0, 6.0, 400))
    assert error(result) <= best * 1.01  # bins stand for their centres: within a percent of the exact optimum
    assert result < float(np.abs(values).max())


def test_names_are_methods() -> None:
    assert method("Entropy") == Method("entropy")
    assert method("percentile:99.9") == Method("percentile", 99.9)
    assert str(method("percentile")) == "percentile:99.99"
    assert method(Method("mse")) == Method("mse")
    for wrong in ("entropie", "percentile:x", "percentile:3", "max:2", ""):
        with pytest.raises(UsageError, match="percentile"):
            method(wrong)


def test_a_calibration_says_how_it_came_about() -> None:
    ranges = Ranges({"a": Histogram.of(np.float32([1, 2]))}, 500, "fashion-mnist")
    result = calibration_from(ranges, "max")
    assert result.amax == {"a": 2.0}
    assert result.description == "max: 500 images of fashion-mnist"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_an_amax_is_a_finite_number_from_zero_up(bad: float) -> None:
    with pytest.raises(PrecisionError, match="'t'"):
        Calibration({"t": bad}, "max")
