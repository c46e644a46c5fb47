"""A suite judged at interim analyses: which cases are decided, which are measured further, and the verdicts.

`begin` and `advance` are pure: the caller measures the cases in `waiting` up to the next count of the plan and calls
`advance` with the evidence of all cases (the unmeasured ones unchanged) until nobody waits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from inferkit.gate.outcome import Verdict
from inferkit.gate.stats.analyses import AnalysisPlan
from inferkit.gate.stats.effect import Evidence
from inferkit.gate.stats.judge import Judgement, judge


@dataclass(frozen=True)
class Trial:
    """Where a suite stands: the analysis each case is at, its judgement so far, and the cases to measure further.

    `waiting` are indices of cases; when it is empty, every judgement has a verdict.
    """

    plan: AnalysisPlan
    margins: tuple[float, ...]
    suspicion: float
    analyses: tuple[int, ...]
    judgements: tuple[Judgement, ...] = ()
    waiting: tuple[int, ...] = ()

    def count(self, case: int) -> int:
        """Replicates (or blocks) that this case must have at its current analysis."""
        return self.plan.counts[self.analyses[case]]


def begin(margins: Sequence[float], plan: AnalysisPlan, suspicion: float) -> Trial:
    """A trial in which every case waits for its first analysis.

    `suspicion` is the share of its margin that a case's change must exceed to be measured further when it is
    undecided; 0 or less measures every undecided case further (interleaved A/B).
    """
    cases = len(margins)
    return Trial(plan, tuple(margins), suspicion, (0,) * cases, (), tuple(range(cases)))


def advance(trial: Trial, evidence: Sequence[Evidence]) -> Trial:
    """Judge all cases with what was measured, and say which must be measured further (none: the trial is over)."""
    earlier = [(item.p_worse, item.p_better) for item in trial.judgements] or None
    judged = judge(evidence, trial.margins, plan=trial.plan, earlier=earlier, reached=trial.analyses)
    least = [trial.suspicion * margin if trial.suspicion > 0 else -math.inf for margin in trial.margins]
    waiting = tuple(
        case for case in trial.waiting if judged[case].verdict is None and judged[case].effect > least[case]
    )
    analyses = tuple(index + (case in waiting) for case, index in enumerate(trial.analyses))
    if not waiting:
        judged = [item if item.verdict else replace(item, verdict=Verdict.INCONCLUSIVE) for item in judged]
    return replace(trial, analyses=analyses, judgements=tuple(judged), waiting=waiting)
