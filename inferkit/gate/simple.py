"""The simple rule: the middle of the replicates against the middle of the baseline's, and a stated margin.

It knows nothing of noise but the margin, so the margin must be wider than the difference of two identical runs. A
regression is measured again once, with as many fresh processes as before, and judged on all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from inferkit.gate.outcome import LATENCY, Outcome, Verdict
from inferkit.gate.rules.rule import CaseLatency

_ONE_REPLICATE = "one replicate only: how much processes differ is not known"


class SimpleRule:
    """REGRESSED above the margin, IMPROVED as far below (in logarithms, so that swapping the sides mirrors it)."""

    def judge(self, suite: Sequence[CaseLatency]) -> list[Outcome]:
        """One outcome per case, in the order given."""
        return [_judged(evidence) for evidence in suite]

    def more(self, outcomes: Sequence[Outcome], rounds: int) -> Mapping[str, int]:
        """Once: every regressed case as often again."""
        if rounds:
            return {}
        return {o.case: o.replicates for o in outcomes if o.verdict is Verdict.REGRESSED}


def _judged(evidence: CaseLatency) -> Outcome:
    now = math.exp(median(evidence.now)) if evidence.now else None
    base = math.exp(median(evidence.baseline)) if evidence.baseline else None
    change = None if now is None or base is None else now / base - 1
    verdict, reason = _verdict(evidence, change)
    return Outcome(
        evidence.case,
        LATENCY,
        verdict,
        baseline=base,
        now=now,
        change=change,
        margin=evidence.margin if change is not None else None,
        replicates=len(evidence.now),
        baseline_replicates=len(evidence.baseline),
        reason=reason,
    )


def _verdict(evidence: CaseLatency, change: float | None) -> tuple[Verdict, str]:
    if evidence.invalid:
        return Verdict.INVALID, ", ".join(evidence.invalid)
    if change is None:
        return Verdict.NO_BASELINE, evidence.no_baseline or "no baseline of this case on this machine"
    reason = _ONE_REPLICATE if min(len(evidence.now), len(evidence.baseline)) == 1 else ""
    limit = math.log1p(evidence.margin)
    if math.log1p(change) > limit:
        return Verdict.REGRESSED, reason
    if math.log1p(change) < -limit:
        return Verdict.IMPROVED, reason
    return Verdict.PASS, reason
