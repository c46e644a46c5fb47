"""The values of options: what they mean, and what is refused with an example of what is right."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.cli.option_types import at_least_one, delay, duration, tolerance


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15ms", 0.015), ("500us", 0.0005), ("10s", 10.0), ("2min", 120.0), (" .5 s ", 0.5), ("3", 3.0)],
)
def test_a_time_has_a_unit_or_is_seconds(text: str, seconds: float) -> None:
    assert duration(text) == delay(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "ms", "-1s", "1e3", "1h", "nan", "inf", "1 2s"])
def test_what_is_not_a_time_is_refused(text: str) -> None:
    for kind in (delay, duration):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a time; write 15ms, 500us, 10s or 2min"):
            kind(text)


def test_a_delay_may_be_nothing_and_a_duration_not() -> None:
    assert delay("0") == 0
    with pytest.raises(argparse.ArgumentTypeError, match="longer than 0"):
        duration("0ms")


@given(st.integers())
def test_a_count_is_a_whole_number_of_at_least_one(value: int) -> None:
    if value >= 1:
        assert at_least_one(str(value)) == value
    else:
        with pytest.raises(argparse.ArgumentTypeError, match="at least 1"):
            at_least_one(str(value))


@pytest.mark.parametrize("text", ["0", "-1", "100.1", "nan", "much", ""])
def test_a_tolerance_that_no_accuracy_can_meet_or_miss_is_refused(text: str) -> None:
    assert tolerance("0.5") == 0.5
    with pytest.raises(argparse.ArgumentTypeError, match="percentage points"):
        tolerance(text)
