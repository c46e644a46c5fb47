"""A sparkline shows a course: high is high, noise is flat, only the last values count."""

import math

from hypothesis import given
from hypothesis import strategies as st

from inferkit.report.table import BLOCKS, sparkline


def test_a_step_is_seen_and_a_thousandth_is_not():
    assert sparkline([1, 1, 2, 2]) == "▁▁██"
    assert len(set(sparkline([1.000, 1.001, 0.999, 1.0005]))) == 1
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == sparkline([5, 5])


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=40), st.integers(1, 30))
def test_every_value_has_its_place_and_order_is_kept(values, width):
    line = sparkline(values, width)
    shown = values[-width:]
    assert len(line) == len(shown)
    for value, sign in zip(shown, line, strict=True):
        assert (sign == "·") == (not math.isfinite(value))
    heights = [(value, BLOCKS.index(sign)) for value, sign in zip(shown, line, strict=True) if sign != "·"]
    assert [height for _, height in sorted(heights)] == sorted(height for _, height in heights)
