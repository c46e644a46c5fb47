"""A baseline that creeps: steps that were each accepted, and are a regression together.

Each promotion moves what the next run is compared with, so five of +1 % pass a margin of 2 % and make +5 %. The earlier
versions of the baseline's own file are the history: git keeps them, whoever measured. Pure; suite/baseline_log.py reads
them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from inferkit.gate.history.ratchet import MARGIN
from inferkit.gate.judging import judge
from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.run import CaseRun, Run

FEWEST_STEPS = 2  # one step was judged when it was taken


@dataclass(frozen=True)
class BaselineLog:
    """The versions of one baseline, the oldest first, from the one that `since` names (`v1.2`) on."""

    since: str
    versions: tuple[Run, ...]


def creep(log: BaselineLog, head: Run, *, promoting: bool = False) -> list[Outcome]:
    """One outcome for each case of `head` whose baseline was moved at least twice: REGRESSED is a gradual regression.

    Judged as any comparison, with the margin of the case where that is finer than the ratchet's; what is slower by less
    than the whole margin passes, since each step was held against it. The metric names the steps: `latency since v1.2
    (5 accepted steps)`. `promoting`: head becomes the next version.
    """
    if not log.versions:
        return []
    oldest = log.versions[0]
    cases, steps = dict[str, CaseRun](), dict[str, int]()
    for name, case in head.cases.items():
        stored = [version.cases[name] for version in log.versions if name in version.cases]
        moved = sum(base.log_medians != later.log_medians for base, later in pairwise(stored))
        steps[name] = moved + promoting
        if name in oldest.cases and steps[name] >= FEWEST_STEPS:
            cases[name] = replace(case, margin=min(MARGIN if case.margin is None else case.margin, MARGIN))
    base = replace(oldest, cases={name: oldest.cases[name] for name in cases}, accuracy={}, outcomes=())
    judged = judge(base, replace(head, cases=cases, accuracy={}, failures={}, outcomes=()))
    outcomes = [outcome for outcome in judged.outcomes if outcome.metric == LATENCY]
    return [
        replace(
            outcome,
            verdict=_whole_margin(outcome),
            metric=f"{LATENCY} since {log.since} ({steps[outcome.case]} accepted steps)",
        )
        for outcome in outcomes
    ]


def _whole_margin(outcome: Outcome) -> Verdict:
    within = outcome.change is not None and outcome.margin is not None and outcome.change <= outcome.margin
    return Verdict.PASS if outcome.verdict is Verdict.REGRESSED and within else outcome.verdict
