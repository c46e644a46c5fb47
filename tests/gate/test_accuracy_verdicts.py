"""Accuracy verdicts: paired on the same images, with a bound and not only a point."""

import numpy as np
import pytest

from inferkit.errors import MeasurementError
from inferkit.gate.accuracy import judge_reduced, judge_reference
from inferkit.gate.outcome import Verdict
from inferkit.measure.accuracy.top_k import Accuracy

CASE = "lenet-int8-onnxruntime"


def accuracy(right, not_finite=0):
    right = np.asarray(right, bool)
    return Accuracy(np.zeros(len(right), np.int32), right, np.ones(len(right), bool), 1.0, 2.0, not_finite)


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
    outcome = judge_reduced(CASE, *pair(10_000, lost, gained), tolerance=0.5)
    assert outcome.verdict is verdict
    assert f"{lost} images lost, {gained} gained of 10000" in outcome.line


def test_fifty_lost_images_of_ten_thousand_are_exactly_within_tolerance():
    assert judge_reduced(CASE, *pair(10_000, 50, 0), tolerance=0.5).verdict is Verdict.INCONCLUSIVE


def test_few_images_prove_nothing():
    outcome = judge_reduced(CASE, *pair(200, 0, 0, wrong=20), tolerance=0.5)
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert "too few images" in outcome.line


def test_the_line_shows_point_bound_and_counts():
    line = judge_reduced(CASE, *pair(10_000, 40, 25), tolerance=0.5).line
    assert line == (
        f"{CASE} top-1: PASS: 90.00 % -> 89.85 %, -0.15 points (at worst -0.29 points), tolerance 0.5 points; "
        "40 images lost, 25 gained of 10000"
    )


def test_outputs_that_are_not_numbers_fail_even_where_the_count_is_kept():
    reference, found = pair(10_000, 0, 0)
    broken = accuracy(found.top1, not_finite=3)
    assert judge_reduced(CASE, reference, broken, 0.5).verdict is Verdict.REGRESSED
    assert judge_reference(CASE, broken, 90.0, 0.1).verdict is Verdict.REGRESSED


def test_other_images_cannot_be_paired():
    with pytest.raises(MeasurementError, match="cannot be paired"):
        judge_reduced(CASE, accuracy(np.ones(100)), accuracy(np.ones(99)), 0.5)


@pytest.mark.parametrize(
    "declared, verdict",
    [(90.0, Verdict.PASS), (90.05, Verdict.PASS), (90.2, Verdict.REGRESSED), (89.0, Verdict.IMPROVED)],
)
def test_fp32_keeps_to_what_is_declared(declared, verdict):
    assert judge_reference(CASE, pair(10_000, 0, 0)[0], declared, 0.1).verdict is verdict


def test_fp32_without_a_declaration_says_what_to_declare():
    outcome = judge_reference(CASE, pair(10_000, 0, 0)[0], None, 0.1)
    assert outcome.verdict is Verdict.NO_BASELINE
    assert "top1 = 90.00" in outcome.line
