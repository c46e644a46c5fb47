"""A suite judged at interim analyses: which cases are decided, which are measured further, and the judgements.

`advance` is pure: the caller measures the cases that are `waiting` up to the count of their analysis and calls it with
the evidence of all cases (the unmeasured ones unchanged) until nobody waits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from inferkit.gate.stats.analyses import AnalysisPlan
from inferkit.gate.stats.effect import Evidence
from inferkit.gate.stats.judge import Judgement, judge


@dataclass(frozen=True)
class TestedCase:
    """Where a case stands: its margin (a log ratio), the analysis it is at, what it was judged as, whether it waits."""

    __test__ = False  # no test class of pytest's

    margin: float
    analysis: int = 0
    judgement: Judgement | None = None
    waiting: bool = True


def advance(
    trial: Mapping[str, TestedCase], evidence: Mapping[str, Evidence], plan: AnalysisPlan, suspicion: float
) -> dict[str, TestedCase]:
    """Judge all cases with what was measured, and say which must be measured further (none: the trial is over).

    `suspicion` is the share of its margin that a case's change must exceed to be measured further when it is
    undecided; 0 or less measures every undecided case further (interleaved A/B).
    """
    judged = judge(
        [evidence[name] for name in trial],
        [case.margin for case in trial.values()],
        plan=plan,
        earlier=[(each.p_worse, each.p_better) for case in trial.values() if (each := case.judgement)] or None,
        reached=[case.analysis for case in trial.values()],
    )
    advanced = {}
    for (name, case), item in zip(trial.items(), judged, strict=True):
        least = suspicion * case.margin if suspicion > 0 else -math.inf
        waiting = case.waiting and item.verdict is None and item.effect > least
        advanced[name] = TestedCase(case.margin, case.analysis + waiting, item, waiting)
    return advanced
