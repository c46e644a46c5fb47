"""The order of base and head, and what blocks of known values say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.gate.outcome import Verdict
from inferkit.gate.rules.interleaved import BLOCKS, InterleavedRule, head_first
from inferkit.gate.rules.rule import LogSamples


def blocks(name, slowdown, sd=0.002, drift=0.0, count=4, margin=0.02):
    random = np.random.default_rng([*name.encode()])
    common = np.log(0.001) + drift * np.arange(count)
    base = common + sd * random.standard_normal(count)
    head = common + np.log1p(slowdown) + sd * random.standard_normal(count)
    return LogSamples(name, tuple(base), tuple(head), margin)


def judged(cases):
    rule = InterleavedRule()
    return rule, rule.judge(cases)


@given(st.integers(0, 2**32), st.text(max_size=20))
def test_head_is_first_as_often_as_base_by_every_analysis(seed, name):
    orders = head_first(seed, name)
    assert len(orders) == BLOCKS[-1]
    assert all(2 * sum(orders[:count]) == count for count in BLOCKS)
    assert orders == head_first(seed, name)


def test_the_order_differs_between_cases_and_seeds():
    assert len({head_first(seed, name) for seed in range(10) for name in "ab"}) > 10


def test_what_is_identical_passes_at_the_first_analysis_and_a_drift_moves_nothing():
    rule, outcomes = judged([blocks(f"c{i}", 0.0, drift=0.1) for i in range(6)])
    assert [o.verdict for o in outcomes] == [Verdict.PASS] * 6
    assert not rule.more(outcomes)
    assert outcomes[0].head_replicates == 4


def test_a_slowdown_above_the_margin_is_named_with_bounds_that_hold_it():
    _, outcomes = judged([*(blocks(f"c{i}", 0.0) for i in range(6)), blocks("slow", 0.03)])
    assert outcomes[-1].verdict is Verdict.REGRESSED
    assert outcomes[-1].lower < 0.03 < outcomes[-1].upper


def test_a_case_that_cannot_be_measured_leaves_the_others_where_they_were():
    rule, outcomes = judged([blocks(f"c{i}", 0.0, sd=0.05) for i in range(3)])
    assert rule.more(outcomes) == {"c0": 4, "c1": 4, "c2": 4}
    left = [blocks(f"c{i}", 0.0, sd=0.05) for i in (0, 2)]
    assert [o.case for o in rule.judge(left)] == ["c0", "c2"]
    assert set(rule.more(outcomes)) == {"c0", "c2"}


def test_a_decided_case_is_not_judged_anew_while_others_are_measured_further():
    quiet, noisy = blocks("quiet", 0.0), blocks("noisy", 0.0, sd=0.05)
    rule, (first, _) = judged([quiet, noisy])
    assert first.verdict is Verdict.PASS
    again, _ = rule.judge([quiet, blocks("noisy", 0.0, sd=0.05, count=8)])
    assert again.verdict is Verdict.PASS
    assert set(rule.more([again])) <= {"noisy"}


def test_base_and_head_of_different_lengths_are_no_blocks():
    with pytest.raises(ValueError, match="2 replicates of base, 1 of head"):
        InterleavedRule().evidence(LogSamples("c", (0.1, 0.2), (0.1,), 0.02))
