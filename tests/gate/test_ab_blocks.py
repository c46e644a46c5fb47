"""The order of the sides, and what blocks of known values say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.gate.outcome import Verdict
from inferkit.gate.rules.interleaved import BLOCKS, Blocks, ab_outcome, head_first, without
from inferkit.gate.stats.analyses import AnalysisPlan
from inferkit.gate.stats.sequential import advance, begin

PLAN = AnalysisPlan(BLOCKS)


def blocks(name, slowdown, sd=0.002, drift=0.0, count=4, margin=0.02):
    random = np.random.default_rng([*name.encode()])
    common = np.log(0.001) + drift * np.arange(count)
    base = common + sd * random.standard_normal(count)
    head = common + np.log1p(slowdown) + sd * random.standard_normal(count)
    return Blocks(name, margin, tuple(base), tuple(head))


def judged(cases, plan=PLAN):
    trial = advance(begin([np.log1p(c.margin) for c in cases], plan, suspicion=0), [c.evidence for c in cases])
    return trial, [ab_outcome(c, j, plan) for c, j in zip(cases, trial.judgements, strict=True)]


@given(st.integers(0, 2**32), st.text(max_size=20))
def test_each_arm_is_first_as_often_as_the_other_at_every_look(seed, name):
    orders = head_first(seed, name)
    assert len(orders) == BLOCKS[-1]
    assert all(2 * sum(orders[:count]) == count for count in BLOCKS)
    assert orders == head_first(seed, name)


def test_the_order_differs_between_cases_and_seeds():
    assert len({head_first(seed, name) for seed in range(10) for name in "ab"}) > 10


def test_identical_arms_pass_at_the_first_look_and_a_drift_moves_nothing():
    trial, outcomes = judged([blocks(f"c{i}", 0.0, drift=0.1) for i in range(6)])
    assert [o.verdict for o in outcomes] == [Verdict.PASS] * 6
    assert not trial.waiting
    assert outcomes[0].replicates == 4


def test_a_slowdown_above_the_margin_is_named_with_bounds_that_hold_it():
    _, outcomes = judged([*(blocks(f"c{i}", 0.0) for i in range(6)), blocks("slow", 0.03)])
    assert outcomes[-1].verdict is Verdict.REGRESSED
    assert outcomes[-1].lower < 0.03 < outcomes[-1].upper


def test_a_case_that_cannot_be_measured_leaves_the_others_where_they_were():
    cases = [blocks(f"c{i}", 0.0, sd=0.05) for i in range(3)]
    trial, _ = judged(cases)
    assert trial.waiting == (0, 1, 2)
    left = without(trial, 1)
    assert (left.waiting, left.analyses, len(left.judgements)) == ((0, 1), (1, 1), 2)
    assert left.count(0) == BLOCKS[1]


def test_arms_of_different_lengths_are_no_blocks():
    with pytest.raises(ValueError, match="2 replicates of one side, 1 of the other"):
        Blocks("c", 0.02, (0.1, 0.2), (0.1,))
