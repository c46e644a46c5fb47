"""Accuracy verdicts: paired on the same images, with a bound and not only a point."""

import numpy as np
import pytest

from inferkit.errors import MeasurementError
from inferkit.gate.accuracy import judge_accuracy, judge_pair
from inferkit.gate.judging import judge
from inferkit.gate.outcome import Verdict
from inferkit.gate.run import AccuracyRun, Run

CASE = "lenet-int8-onnxruntime"


def accuracy(right, not_finite=0):
    right = np.asarray(right, bool)
    top1 = 100 * float(right.mean())
    known = {"images": len(right), "dataset": "some", "right": right, "not_finite": not_finite}
    return AccuracyRun(case=CASE, fingerprint="m", top1=top1, top5=100.0, **known)


def declared_as(top1):
    return AccuracyRun(case=CASE, fingerprint="m", top1=top1)


def pair(n, lost, gained, wrong=1_000):
    """FP32 right on all but `wrong` images; the other loses and gains as many as told."""
    reference = np.arange(n) >= wrong
    found = reference.copy()
    found[wrong : wrong + lost] = False
    found[:gained] = True
    return accuracy(reference), accuracy(found)


@pytest.mark.parametrize(
    "lost, gained, verdict",
    [
        (0, 0, Verdict.PASS),
        (40, 25, Verdict.PASS),
        (51, 0, Verdict.REGRESSED),
        (49, 0, Verdict.INCONCLUSIVE),
        (330, 300, Verdict.INCONCLUSIVE),
        (25, 300, Verdict.PASS),
    ],
)
def test_a_drop_passes_only_where_its_bound_does(lost, gained, verdict):
    outcome = judge_accuracy(*pair(10_000, lost, gained), tolerance=0.5)
    assert outcome.verdict is verdict
    assert f"{lost} images lost, {gained} gained of 10000" in outcome.line


def test_fifty_lost_images_of_ten_thousand_are_exactly_within_tolerance():
    assert judge_accuracy(*pair(10_000, 50, 0), tolerance=0.5).verdict is Verdict.INCONCLUSIVE


def test_few_images_prove_nothing():
    outcome = judge_accuracy(*pair(200, 0, 0, wrong=20), tolerance=0.5)
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "too few images" in outcome.line


def test_the_line_shows_point_bound_and_counts():
    line = judge_accuracy(*pair(10_000, 40, 25), tolerance=0.5).line
    assert line == (
        f"{CASE} top-1: PASS: 90.00 % -> 89.85 %, -0.15 points (upper bound of loss 0.29 points), "
        "tolerance 0.5 points; 40 images lost, 25 gained of 10000"
    )


def test_outputs_that_are_not_numbers_fail_even_where_the_count_is_kept():
    reference, found = pair(10_000, 0, 0)
    broken = accuracy(found.right, not_finite=3)
    assert judge_accuracy(reference, broken, 0.5).verdict is Verdict.REGRESSED
    assert judge_accuracy(declared_as(90.0), broken, 0.1).verdict is Verdict.REGRESSED


def test_other_images_cannot_be_paired():
    with pytest.raises(MeasurementError, match="cannot be paired"):
        judge_pair(CASE, np.ones(100, bool), np.ones(99, bool), 0.5)
    outcome = judge_accuracy(accuracy(np.ones(100)), accuracy(np.ones(99)), 0.5)
    assert (outcome.verdict, outcome.reason[:12]) == (Verdict.INVALID, "other images")


@pytest.mark.parametrize(
    "declared, verdict",
    [(90.0, Verdict.PASS), (90.05, Verdict.PASS), (90.2, Verdict.REGRESSED), (89.0, Verdict.IMPROVED)],
)
def test_fp32_keeps_to_what_is_declared(declared, verdict):
    assert judge_accuracy(declared_as(declared), pair(10_000, 0, 0)[0], 0.1).verdict is verdict


def test_what_has_no_base_passes_only_by_name_and_not_where_outputs_are_no_numbers():
    found = pair(10_000, 0, 0)[0]
    (outcome,) = judge(Run(), Run(accuracy={CASE: found})).outcomes
    assert (outcome.verdict, outcome.head) == (Verdict.NO_BASELINE, 90.0)
    (outcome,) = judge(Run(), Run(accuracy={CASE: accuracy(found.right, not_finite=3)})).outcomes
    assert outcome.verdict is Verdict.REGRESSED
