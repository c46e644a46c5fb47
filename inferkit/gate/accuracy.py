"""Is it less right: a reduced precision against FP32 image by image, FP32 against what the matrix declares.

Accuracy does not depend on the hardware, so it is judged everywhere, with a baseline or without.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import MeasurementError
from inferkit.gate.outcome import ACCURACY, Outcome, Verdict
from inferkit.gate.stats.paired import paired_drop
from inferkit.measure.accuracy.top_k import Accuracy

CONFIDENCE = 0.95


def judge_reduced(case: str, reference: Accuracy, found: Accuracy, tolerance: float) -> Outcome:
    """Compare a reduced precision with FP32 on the same images; `tolerance` in points of top-1.

    REGRESSED when more is lost on these images than the tolerance. PASS when, in addition, the one-sided 95 % bound of
    the drop (Tango's) stays within it; INCONCLUSIVE when the images are too few to say so. MeasurementError where the
    two did not see the same number of images.
    """
    return judge_pair(case, reference.top1, found.top1, tolerance, not_finite=found.not_finite)


def judge_pair(
    case: str, before: NDArray[np.bool_], now: NDArray[np.bool_], tolerance: float, *, not_finite: int = 0
) -> Outcome:
    """As `judge_reduced`, from which images were right before and now, in the same order."""
    images = len(now)
    if len(before) != images:
        raise MeasurementError(f"{case}: {len(before)} images there, {images} here: they cannot be paired")
    lost, gained = int((before & ~now).sum()), int((~before & now).sum())
    drop = paired_drop(lost, gained, images, CONFIDENCE)
    counts = f"{lost} images lost, {gained} gained of {images}"
    if not_finite:
        verdict, reason = Verdict.REGRESSED, f"{not_finite} outputs are not finite numbers; {counts}"
    elif 100 * drop.drop > tolerance:
        verdict, reason = Verdict.REGRESSED, counts
    elif 100 * drop.upper > tolerance:
        verdict, reason = Verdict.INCONCLUSIVE, f"{counts}: too few images to show that the drop is within tolerance"
    else:
        verdict, reason = Verdict.PASS, counts
    return Outcome(
        case,
        ACCURACY,
        verdict,
        baseline=100 * float(before.mean()),
        now=100 * float(now.mean()),
        change=100 * drop.drop,
        upper=100 * drop.upper,
        margin=tolerance,
        reason=reason,
    )


def judge_reference(case: str, found: Accuracy, declared: float | None, tolerance: float) -> Outcome:
    """Compare FP32 with the top-1 (percent) that the matrix declares, within `tolerance` points.

    NO_BASELINE where none is declared: the outcome shows the line to add.
    """
    now = found.top1_percent
    if found.not_finite:
        reason = f"{found.not_finite} outputs of {found.images} are not finite numbers"
        return Outcome(case, ACCURACY, Verdict.REGRESSED, baseline=declared, now=now, reason=reason)
    if declared is None:
        hint = f"add `top1 = {now:.2f}` to its table in the matrix"
        reason = "the matrix declares no top-1"
        return Outcome(case, ACCURACY, Verdict.NO_BASELINE, now=now, reason=reason, hint=hint)
    change = declared - now
    verdict = Verdict.PASS
    if change > tolerance:
        verdict = Verdict.REGRESSED
    elif change < -tolerance:
        verdict = Verdict.IMPROVED
    return Outcome(case, ACCURACY, verdict, baseline=declared, now=now, change=change, margin=tolerance)
