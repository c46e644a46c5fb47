"""The ratchet: this run against the last release and against 30 days ago, so that a gradual regression is found.

Each of ten steps of 1 % passes; together they are 10 %. What is compared are runs, not processes: a machine differs a
little from day to day, and so the datum is one value per run (the median of its log-medians), and the noise is what
runs differ by from one to the next, taken over the recent runs. Successive differences (von Neumann) are blind to a
slow drift, which a plain variance would take for noise and then not see. The judgement is the gate's own: moderated
over the cases, Holm over cases and moments compared, tested against a quarter of the margin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING

from inferkit.gate.history.series import HistoryPoint, HistorySeries, RunInfo
from inferkit.gate.judging import judge
from inferkit.gate.metrics import CPU_MARGIN, LATENCY, METRICS, REFERENCE
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.rule import LogSamples
from inferkit.gate.run import CaseRun, Run

if TYPE_CHECKING:
    from inferkit.gate.stats.effect import Evidence

# Drift is looked for more finely than one run can be judged, since the noise of runs is known from their history.
MARGIN = 0.05
DAYS = 30
RECENT = 40  # runs of a case that tell how much runs differ
_RUNS_OF_BASE = 3  # of which the value of base is made, where a moment has as many
_ALPHA = 0.02  # REGRESSED and IMPROVED together, half each
_STEPS = (Verdict.REGRESSED, Verdict.WAIVED, Verdict.IMPROVED)


@dataclass(frozen=True)
class Moment:
    """What the current run is compared with: a name (`v1.2`, `30 days ago`) and all runs that may stand for it.

    Not every run has every case or is of the same machine: each series takes the newest of them that it has itself, at
    most three, and of those, where the moment is `of_one_commit`, the ones of the newest commit.
    """

    name: str
    runs: frozenset[str]
    of_one_commit: bool = False

    @property
    def metric(self) -> str:
        """What the outcomes of a comparison with it are called."""
        return f"{LATENCY} since {self.name}"


def days_ago(runs: Sequence[RunInfo], now: datetime) -> Moment | None:
    """The runs that are at least DAYS older than `now`; None where there are none."""
    old = frozenset(run.run_id for run in runs if run.date <= now - timedelta(days=DAYS))
    return Moment(f"{DAYS} days ago", old) if old else None


def release(runs: Sequence[RunInfo], tag: str, holds: Callable[[str], bool]) -> Moment | None:
    """The runs of commits that the release has (`holds` tells of a commit); None where there are none."""
    released = frozenset(run.run_id for run in runs if run.commit and holds(run.commit))
    return Moment(tag, released, of_one_commit=True) if released else None


def needed(runs: Sequence[RunInfo], current: RunInfo, moments: Sequence[Moment]) -> list[tuple[list[str], int]]:
    """What `ratchet` must see of each case's series: ids of runs, and how many of these, the newest usable ones."""
    until_now = [run.run_id for run in runs if run.date <= current.date]
    return [(until_now, RECENT), *((sorted(moment.runs), _RUNS_OF_BASE) for moment in moments)]


def ratchet(series: Sequence[HistorySeries], current: str, moments: Sequence[Moment]) -> list[Outcome]:
    """One outcome per case of the run `current` and moment that has runs of it: REGRESSED is a gradual regression.

    `series` hold latencies (see `needed`), and references of the same runs. The metric names the moment: `latency since
    v1.2`. The margin is the case's own where that is finer. Where the reference network moved as well between the same
    runs, the machine did: INVALID.
    """
    pairs = {
        f"{moment.name} {each.fingerprint} {each.case}": pair
        for each in series
        if each.metric == LATENCY
        for moment in moments
        if (pair := _pair(each, current, moment))
    }
    references: dict[str, _MomentPair] = {}
    for pair in pairs.values():
        if pair.place in references:
            continue
        moment = Moment("", frozenset(point.run.run_id for point in pair.base))
        where = (REFERENCE, pair.series.fingerprint)
        candidates = [each for each in series if (each.metric, each.fingerprint) == where]
        reference = next(filter(None, (_pair(each, current, moment) for each in candidates)), None)
        if reference is not None:
            references[pair.place] = reference
    base, head = (_run(pairs, references, side) for side in ("base", "head"))
    rule = _RatchetRule({**pairs, **{_reference_id(place): pair for place, pair in references.items()}})
    judged = {each.case: each for each in judge(base, head, rule=rule).outcomes if each.metric == LATENCY}
    return [
        replace(judged[name], case=pair.series.case, metric=pair.moment.metric, head_replicates=0, base_replicates=0)
        for name, pair in pairs.items()
    ]


def slips(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that say something got slower."""
    return [outcome for outcome in outcomes if outcome.verdict is Verdict.REGRESSED]


@dataclass(frozen=True)
class _MomentPair:
    """The points of a series that are compared: those of a moment, and the current one alone. `noise` is that of runs:
    the variance of one run's datum and its degrees of freedom."""

    series: HistorySeries
    moment: Moment
    base: tuple[HistoryPoint, ...]
    head: tuple[HistoryPoint]
    margin: float
    noise: tuple[float, float]

    @property
    def place(self) -> str:
        """On which kind of machine, and against which runs: pairs of one place have one reference."""
        return " ".join([self.series.fingerprint, *sorted(point.run.run_id for point in self.base)])

    @property
    def against(self) -> str:
        """In words what is compared with."""
        last = self.base[-1].run
        runs = f"{len(self.base)} run{'' if len(self.base) == 1 else 's'}"
        commit = f" ({last.commit[:9]})" if last.commit else ""
        return f"against {runs} until {last.date:%Y-%m-%d}{commit}"


def _run(pairs: Mapping[str, _MomentPair], references: Mapping[str, _MomentPair], side: str) -> Run:
    """Every pair as a case under a name of its own, and the references of the same runs: a run is a replicate."""

    def measured(case: str, pair: _MomentPair) -> CaseRun:
        data = {METRICS[LATENCY].datum: tuple(map(_datum, getattr(pair, side)))}
        return CaseRun(case=case, fingerprint=pair.place, margin=pair.margin, data=data)

    return Run(
        cases={name: measured(name, pair) for name, pair in pairs.items()},
        references={place: measured(_reference_id(place), pair) for place, pair in references.items()},
    )


def _reference_id(place: str) -> str:
    return f"{REFERENCE} {place}"


class _RatchetRule:
    """The rule: the gate's own judgement, with the noise of runs as it is known from their history."""

    def __init__(self, pairs: Mapping[str, _MomentPair]) -> None:
        self._pairs = pairs

    def evidence(self, samples: LogSamples) -> Evidence:
        """The change of the current run's datum from the mean of the moment's."""
        from inferkit.gate.stats.effect import Evidence  # needs scipy

        (value,) = samples.head
        variance, dof = self._pairs[samples.case].noise
        information = 1 / (1 + 1 / len(samples.base))
        return Evidence(value - fmean(samples.base), variance, dof, information, robust=value - median(samples.base))

    def judge(self, suite: Sequence[LogSamples]) -> list[Outcome]:
        """One outcome per case, in the order given."""
        from inferkit.gate.rules.moderated import outcome_of
        from inferkit.gate.stats.analyses import SINGLE_ANALYSIS
        from inferkit.gate.stats.judge import Policy, judge

        judged = judge(
            [self.evidence(case) for case in suite],
            [math.log1p(case.margin) for case in suite],
            plan=SINGLE_ANALYSIS,
            policy=Policy(alpha=_ALPHA),
        )
        outcomes = []
        for case, item in zip(suite, judged, strict=True):
            reason = self._pairs[case.case].against
            if not item.can_gate:
                reason += ": how much runs differ is not known yet"
            outcomes.append(outcome_of(case, item, reason))
        return outcomes

    def more(self, outcomes: Sequence[Outcome]) -> Mapping[str, int]:
        """Nothing: past runs cannot be measured further."""
        return {}


def _pair(series: HistorySeries, current: str, moment: Moment) -> _MomentPair | None:
    """None where the series has no usable current run, or none of the moment."""
    points = series.usable
    head = next((point for point in points if point.run.run_id == current), None)
    base = [point for point in points if point.run.run_id in moment.runs - {current}][-_RUNS_OF_BASE:]
    if head is None or not base:
        return None
    if moment.of_one_commit:
        base = [point for point in base if point.run.commit == base[-1].run.commit]
    recent = [point for point in points if point.run.date <= head.run.date][-RECENT:]
    margin = min(CPU_MARGIN if head.margin is None else head.margin, MARGIN)
    return _MomentPair(series, moment, tuple(base), (head,), margin, _noise(recent))


def _datum(point: HistoryPoint) -> float:
    return median(math.log(value) for value in point.values)


def _noise(points: Sequence[HistoryPoint]) -> tuple[float, float]:
    """The variance of one run's datum and its degrees of freedom, from the differences of successive runs.

    A step that the gate had a name for when it happened is no noise. For n differences the estimate is worth 2n/3
    degrees of freedom (J. von Neumann et al., "The mean square successive difference", Ann. Math. Statist. 12, 1941).
    """
    differences = [
        _datum(later) - _datum(earlier)
        for earlier, later in pairwise(points)
        if earlier.verdict == later.verdict or not {earlier.verdict, later.verdict} & set(_STEPS)
    ]
    if not differences:
        return 0.0, 0.0
    return fmean(each * each for each in differences) / 2, 2 * len(differences) / 3
