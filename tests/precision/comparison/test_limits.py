"""How far tensors may differ: ratios in dB, and what rounding to a type explains."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.precision.comparison.limits import agreement, difference, half_rounding, quantized_rounding
from inferkit.precision.halves import BF16, FP16, HALVES

RANDOM = np.random.default_rng(5)
VALUES = RANDOM.standard_normal((3, 70_000)).astype(np.float32)  # more than one chunk


def test_the_ratio_is_that_of_the_energies() -> None:
    found = agreement(VALUES, VALUES * np.float32(1.1))
    assert found.ratio == pytest.approx(20.0, abs=0.01)  # an error of a tenth; float32 sums
    assert agreement(VALUES, VALUES).ratio == math.inf
    assert agreement(np.zeros(3, np.float32), np.ones(3, np.float32)).ratio == -math.inf


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e37])
def test_the_ratio_does_not_depend_on_the_size_of_the_values(scale: float) -> None:
    base = VALUES * np.float32(scale)
    assert agreement(base, base * np.float32(1.1)).ratio == pytest.approx(20.0, abs=0.01)


def test_values_that_are_finite_in_one_only_are_counted() -> None:
    head = VALUES.copy()
    head[0, 5] = np.inf
    head[2, 69_999] = np.nan
    assert agreement(VALUES, head).not_finite == 2
    assert "2 of 210000 values" in str(difference(VALUES, head, 10.0))
    assert difference(head, head, 80.0) is None


def test_shapes_and_integers_have_to_be_equal() -> None:
    assert "has the shape [3], not [1, 3]" in str(difference(np.zeros((1, 3)), np.zeros(3), 0.0))
    assert difference(np.array([1, 2]), np.array([1, 2]), 80.0) is None
    assert "differs in 1 of 2" in str(difference(np.array([1, 2]), np.array([1, 3]), 0.0))


@pytest.mark.parametrize("precision", HALVES)
@given(st.lists(st.floats(-60_000, 60_000, width=32), min_size=1))
def test_rounding_to_half_explains_itself(precision: str, values: list[float]) -> None:
    half, array = HALVES[precision], np.array(values, np.float32)
    assert half_rounding(array, half.round(array).astype(np.float32), half, saturates=False) is None


@pytest.mark.parametrize(("half", "factor"), [(FP16, 1.002), (BF16, 1.01)])
def test_rounding_to_half_explains_no_more_than_a_step(half: FP16, factor: float) -> None:  # type: ignore[valid-type]
    rounded = half.round(VALUES * np.float32(factor)).astype(np.float32)  # two steps, or a little less
    assert "is not what rounding to" in str(half_rounding(VALUES, rounded, half, saturates=False))


def test_an_overflow_is_explained_only_where_bounds_saturate() -> None:
    values, largest = np.float32([1.0, 3e38]), np.float32([1.0, FP16.largest])
    assert half_rounding(values, largest, FP16, saturates=True) is None
    reason = half_rounding(values, np.float32([1.0, np.inf]), FP16, saturates=False)
    assert reason == "overflows fp16 in 1 of 2 values (largest 3e+38)"


@pytest.mark.parametrize(("coarser", "explained"), [(1.0, True), (3.0, True), (30.0, False), (0.05, False)])
def test_a_scale_may_be_somewhat_wider_than_the_values(coarser: float, explained: bool) -> None:
    scale = np.abs(VALUES).max() / 127 * coarser
    dequantized = np.clip(np.rint(VALUES / scale), -127, 127) * scale
    assert (quantized_rounding(VALUES, dequantized, "int8", 127.0) is None) == explained


def test_a_value_far_from_all_others_excuses_coarse_steps() -> None:
    values = VALUES.copy()
    values[0, 0] = 5000.0  # int8 with one scale for a tensor has nothing better to offer
    scale = 5000.0 / 127
    assert quantized_rounding(values, np.rint(values / scale) * scale, "int8", 127.0) is None
