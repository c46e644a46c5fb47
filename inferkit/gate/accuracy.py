"""Is it less right: head against base image by image, or against a percentage where that is all there is.

Base is FP32 on the same images for a reduced precision, what the matrix declares for FP32, the same case of an earlier
run in a comparison of files. Accuracy does not depend on the hardware, so it is judged everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import MeasurementError
from inferkit.gate.metrics import ACCURACY
from inferkit.gate.outcome import Outcome, Verdict, verdict_beyond
from inferkit.gate.run import AccuracyRun
from inferkit.gate.stats.paired import paired_drop

CONFIDENCE = 0.95


def judge_accuracy(base: AccuracyRun, head: AccuracyRun, tolerance: float) -> Outcome:
    """The verdict on top-1; `tolerance` in points.

    REGRESSED when more is lost than the tolerance, or when more outputs are no finite numbers. Paired where both know
    which images were right: see `judge_pair`. Else IMPROVED when more is gained than the tolerance. INVALID where the
    two did not see the same images.
    """
    if base.right is None or head.right is None:
        return _difference(base, head, tolerance)
    if (head.dataset, head.images) != (base.dataset, base.images):
        reason = f"other images (head {head.images} of {head.dataset}, base {base.images} of {base.dataset})"
        return Outcome(head.case, ACCURACY, Verdict.INVALID, base.top1, head.top1, margin=tolerance, reason=reason)
    broken = head.not_finite if head.not_finite > base.not_finite else 0
    return judge_pair(head.case, base.right, head.right, tolerance, not_finite=broken)


def judge_pair(
    case: str, base: NDArray[np.bool_], head: NDArray[np.bool_], tolerance: float, *, not_finite: int = 0
) -> Outcome:
    """From which images were right in base and in head, in the same order.

    REGRESSED when more is lost on these images than the tolerance. PASS when, in addition, the one-sided 95 % bound of
    the drop (Tango's) stays within it; INCONCLUSIVE when the images are too few to say so. MeasurementError where the
    two did not see the same number of images.
    """
    images = len(head)
    if len(base) != images:
        raise MeasurementError(f"{case}: {len(base)} images of base, {images} of head: they cannot be paired")
    lost, gained = int((base & ~head).sum()), int((~base & head).sum())
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
        base=100 * float(base.mean()),
        head=100 * float(head.mean()),
        change=100 * drop.drop,
        upper=100 * drop.upper,
        margin=tolerance,
        reason=reason,
    )


def not_finite(accuracy: AccuracyRun) -> str:
    """The reason of a verdict that outputs with NaN or infinity have decided."""
    return f"{accuracy.not_finite} outputs of {accuracy.images} are not finite numbers"


def _difference(base: AccuracyRun, head: AccuracyRun, tolerance: float) -> Outcome:
    if head.not_finite:
        reason = not_finite(head)
        return Outcome(head.case, ACCURACY, Verdict.REGRESSED, base.top1, head.top1, margin=tolerance, reason=reason)
    change = base.top1 - head.top1
    return Outcome(
        head.case, ACCURACY, verdict_beyond(change, tolerance), base.top1, head.top1, change, margin=tolerance
    )
