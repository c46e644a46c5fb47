"""The simple rule: margins in logarithms, one re-measurement, and words for what cannot be judged."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inferkit.gate.simple import SimpleRule

from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.rule import LogSamples

CASE = "lenet-fp32-b1-onnxruntime"
MIRROR = {Verdict.REGRESSED: Verdict.IMPROVED, Verdict.IMPROVED: Verdict.REGRESSED, Verdict.PASS: Verdict.PASS}

replicates = st.lists(st.floats(-12, 2), min_size=1, max_size=5).map(tuple)
margins = st.floats(0.01, 2)


def logs(*times):
    return tuple(math.log(time) for time in times)


def judge(now, baseline, margin=0.25, **more):
    return SimpleRule().judge([LogSamples(CASE, baseline, now, margin, **more)])[0]


@pytest.mark.parametrize(
    "now, verdict",
    [(0.0124, Verdict.PASS), (0.0126, Verdict.REGRESSED), (0.0081, Verdict.PASS), (0.0079, Verdict.IMPROVED)],
)
def test_the_margin_divides_pass_from_regressed_and_improved(now, verdict):
    assert judge(logs(now, now), logs(0.01, 0.01)).verdict is verdict


def test_one_process_of_three_cannot_move_the_verdict():
    assert judge(logs(0.010, 0.011, 0.5), logs(0.010, 0.010, 0.0101)).verdict is Verdict.PASS


@given(replicates, replicates, margins)
def test_swapping_the_sides_mirrors_the_verdict(one, other, margin):
    there, back = judge(one, other, margin), judge(other, one, margin)
    assert there.verdict is MIRROR[back.verdict]
    assert (1 + there.change) * (1 + back.change) == pytest.approx(1)


@given(replicates, margins)
def test_the_same_measurement_passes(times, margin):
    assert judge(times, times, margin).verdict is Verdict.PASS


@given(replicates, replicates, margins, st.floats(-3, 3))
def test_the_unit_of_time_does_not_matter(one, other, margin, shift):
    moved = judge(tuple(x + shift for x in one), tuple(x + shift for x in other), margin)
    assert moved.change == pytest.approx(judge(one, other, margin).change, rel=1e-6, abs=1e-6)


def test_nothing_to_compare_with_is_not_a_pass():
    outcome = judge(logs(0.01), (), no_baseline="no baseline of this machine in baselines/")
    assert outcome.verdict is Verdict.NO_BASELINE
    assert "no baseline of this machine" in outcome.line


def test_an_invalid_measurement_is_never_a_regression():
    outcome = judge(logs(0.9), logs(0.01), invalid=("the card throttled",))
    assert outcome.verdict is Verdict.INVALID
    assert "the card throttled" in outcome.line


def test_one_replicate_is_judged_and_said():
    assert "one replicate only" in judge(logs(0.02), logs(0.01, 0.01)).line


def test_a_regression_is_measured_again_once():
    rule = SimpleRule()
    outcomes = rule.judge([LogSamples(CASE, logs(0.01, 0.01), logs(0.02, 0.02, 0.02), 0.25)])
    assert rule.more(outcomes, 0) == {CASE: 3}
    assert rule.more(outcomes, 1) == {}


def test_the_line_of_a_regression_says_it_all():
    line = judge(logs(0.0130, 0.0131, 0.0132), logs(0.01, 0.01, 0.01)).line
    assert line == f"{CASE} latency: REGRESSED: 10 ms -> 13.1 ms, +31.0%, margin 25 %, replicates 3 against 3"


@given(replicates, replicates, margins)
def test_an_outcome_survives_json(one, other, margin):
    outcome = judge(one, other, margin)
    assert Outcome.from_dict(outcome.as_dict()) == outcome
