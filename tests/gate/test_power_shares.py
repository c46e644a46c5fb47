"""Shares with exact bounds, and which cases can gate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.power import Share, case_powers


@given(st.integers(0, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))).filter(lambda pair: pair[1] > 0))
def test_bounds_are_clopper_and_pearsons(pair):
    share = Share.of(*pair)
    exact = binomtest(*pair).proportion_ci(0.95, "exact")
    assert (share.lower, share.upper) == pytest.approx((exact.low, exact.high))


def test_nothing_tried_says_nothing():
    assert (Share.of(0, 0).lower, Share.of(0, 0).upper) == (0.0, 1.0)
    with pytest.raises(ValueError, match="impossible"):
        Share.of(3, 2)


def outcome(case, mde, margin=0.05):
    return Outcome(case, LATENCY, Verdict.PASS, margin=margin, mde=mde)


def test_a_case_that_detects_only_more_than_its_margin_cannot_gate():
    suites = [[outcome("quiet", 0.02), outcome("noisy", 0.08), outcome("unknown", None)]] * 3
    quiet, noisy, unknown = case_powers(suites)
    assert quiet.can_gate
    assert noisy.line == "noisy cannot gate at 5 %: detects 8 %"
    assert not unknown.can_gate
    assert "not known" in unknown.line
