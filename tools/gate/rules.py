"""The gate's present rules on plain log-medians: the one file here that builds the gate's own evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from numpy.typing import ArrayLike

from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.reference import Beside
from inferkit.gate.rules import enough
from inferkit.gate.rules.default import default_rule
from inferkit.gate.rules.rule import CaseLatency
from inferkit.gate.side import SideCase, SideFacts, judge_sides
from inferkit.gate.stats.effect import independent
from inferkit.gate.stats.judge import judge
from inferkit.gate.stats.looks import SINGLE_LOOK

Logs = Mapping[str, Iterable[float]]


def is_slower(base: ArrayLike, head: ArrayLike, margin: float = 0.02) -> bool:
    """Whether one case, judged once and alone, is REGRESSED."""
    return judge([independent(base, head)], [margin], plan=SINGLE_LOOK, look=0)[0].verdict is Verdict.REGRESSED


def more_for_baseline(measured: Sequence[Iterable[float]], margin: float, counts: Sequence[int]) -> dict[int, int]:
    """How many replicates more the cases need, by their place, until a baseline of them can gate at the margin."""
    suite = [CaseLatency(str(place), tuple(logs), (), margin) for place, logs in enumerate(measured)]
    return {int(place): count for place, count in enough.more_for_baseline(suite, counts).items()}


def latency_outcomes(base: Logs, head: Logs, margins: Mapping[str, float], measuring: bool = True) -> list[Outcome]:
    """The outcomes of the cases that both have, as the reference networks among them leave them.

    Without `measuring` there is one look, as in a comparison of files.
    """
    both = {name: (tuple(base[name]), tuple(head[name])) for name in head if name in base}
    references = {name: logs for name, logs in both.items() if name.startswith("reference-")}
    cases = [CaseLatency(name, both[name][1], both[name][0], margins[name]) for name in both if name not in references]
    outcomes = default_rule(measuring).judge(cases)
    others = [both[case.case] for case in cases]
    for name, logs in references.items():
        beside = Beside(name, *logs, others, margins[name])
        outcomes = [beside.of(len(case.now)).blamed(outcome) for outcome, case in zip(outcomes, cases, strict=True)]
    return outcomes


def slower_by_execution(base: Logs, head: Logs, margins: Mapping[str, float]) -> set[str]:
    """The cases that are REGRESSED by their execution on the GPU."""

    def facts(logs: Iterable[float]) -> SideFacts:
        return SideFacts(log_execution=tuple(logs))

    suite = [SideCase(name, facts(head[name]), facts(base[name]), margins[name]) for name in head]
    return {outcome.case for outcome in judge_sides(suite) if outcome.verdict is Verdict.REGRESSED}
