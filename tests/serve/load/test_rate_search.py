"""The search ends at the highest rate that holds, within its precision, and trusts no single lucky run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.errors import UsageError
from inferkit.serve.load.search import find_rate


@given(st.floats(1, 1e6), st.floats(0.02, 1))
def test_the_highest_valid_rate_is_found_within_the_precision(upper, share):
    limit = upper * share
    search = find_rate(lambda rate: rate <= limit, upper)
    assert search.rate is not None
    assert limit / 1.021 <= search.rate <= limit
    assert search.trials[-2:] == ((search.rate, True), (search.rate, True))


def test_where_no_rate_holds_none_is_given():
    search = find_rate(lambda rate: False, 100)
    assert search.rate is None
    assert [rate for rate, _ in search.trials] == [100, *[100 / 64] * 3]


def test_one_hiccup_at_the_lowest_rate_ends_no_search():
    runs: list[float] = []

    def hiccup(rate: float) -> bool:
        runs.append(rate)
        return rate <= 40 and len(runs) != 2

    search = find_rate(hiccup, 100)
    assert search.rate is not None
    assert 40 / 1.021 <= search.rate <= 40


@given(st.integers(2, 12))
def test_one_hiccup_in_the_bisection_costs_nothing(when):
    """What a bisection leaves it never tries again: one run that failed by chance must not lead it away."""
    runs: list[float] = []

    def hiccup(rate: float) -> bool:
        runs.append(rate)
        return rate <= 40 and len(runs) != when

    search = find_rate(hiccup, 100)
    assert search.rate is not None
    assert 40 / 1.021 <= search.rate <= 40
    assert all(rate > 40 for rate in search.failed_rates)


def test_one_hiccup_of_the_highest_rate_does_not_lower_it():
    quiet = find_rate(lambda rate: rate <= 40, 100)
    runs = len(quiet.trials)
    for last in (runs - 1, runs):
        count = 0

        def hiccup(rate: float, last: int = last) -> bool:
            nonlocal count
            count += 1
            return rate <= 40 and count != last

        assert find_rate(hiccup, 100).rate == quiet.rate


def test_a_lucky_run_is_not_believed():
    seen: dict[float, int] = {}

    def lucky_once(rate: float) -> bool:
        seen[rate] = seen.get(rate, 0) + 1
        return rate <= 40 or (rate <= 50 and seen[rate] == 1)

    search = find_rate(lucky_once, 100)
    assert search.rate is not None
    assert 40 / 1.021 <= search.rate <= 40


def test_a_bound_that_is_none_is_refused():
    with pytest.raises(UsageError, match="upper 0"):
        find_rate(lambda rate: True, 0)
