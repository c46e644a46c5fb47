"""The ratchet: this run against the last release and against 30 days ago, so that many small slips are seen as one.

Each of ten slips of 1 % passes; together they are 10 %. What is compared are runs, not processes: a machine differs a
little from day to day, and so the datum is one value per run (the middle of its log-medians), and the noise is what
runs differ by from one to the next, taken over the recent runs. Successive differences (von Neumann) are blind to a
slow drift, which a plain variance would take for noise and then not see. The judgement is the gate's own: moderated
over the cases, Holm over cases and moments compared, tested against a quarter of the margin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from statistics import fmean, median

from inferkit.gate.history.series import Point, Series
from inferkit.gate.history.summary import RunInfo
from inferkit.gate.margins import CPU_MARGIN
from inferkit.gate.outcome import LATENCY, REFERENCE, Outcome, Verdict
from inferkit.gate.stats.effect import Evidence

# Drift is looked for more finely than one run can be judged, since the noise of runs is known from their history.
MARGIN = 0.05
DAYS = 30
RECENT = 40  # runs of a case that tell how much runs differ
_RUNS_THEN = 3  # of which the earlier value is made, where a moment has as many
_ALPHA = 0.02  # REGRESSED and IMPROVED together, half each
_STEPS = ("REGRESSED", "IMPROVED")


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


def days_ago(runs: Sequence[RunInfo], now: datetime, days: int = DAYS) -> Moment | None:
    """The runs that are at least so many days older than `now`; None where there are none."""
    old = frozenset(run.run_id for run in runs if run.date <= now - timedelta(days=days))
    return Moment(f"{days} days ago", old) if old else None


def release(runs: Sequence[RunInfo], tag: str, holds: Callable[[str], bool]) -> Moment | None:
    """The runs of commits that the release has (`holds` tells of a commit); None where there are none."""
    released = frozenset(run.run_id for run in runs if run.commit and holds(run.commit))
    return Moment(tag, released, of_one_commit=True) if released else None


def needed(runs: Sequence[RunInfo], current: RunInfo, moments: Sequence[Moment]) -> list[tuple[list[str], int]]:
    """What `ratchet` must see of each case's series: ids of runs, and how many of these, the newest usable ones."""
    before = [run.run_id for run in runs if run.date <= current.date]
    return [(before, RECENT), *((sorted(moment.runs), _RUNS_THEN) for moment in moments)]


def ratchet(series: Sequence[Series], current: str, moments: Sequence[Moment], margin: float = MARGIN) -> list[Outcome]:
    """One outcome per case of the run `current` and moment that has runs of the case: REGRESSED is a slip.

    `series` hold latencies (see `needed`), and references of the same runs. The metric names the moment: `latency since
    v1.2`. The margin is the case's own where that is finer. Where the reference network moved as well between the same
    runs, the machine did: INVALID.
    """
    from inferkit.gate.reference import Movement, movement  # needs scipy
    from inferkit.gate.stats.judge import Policy, judge
    from inferkit.gate.stats.looks import SINGLE_LOOK

    cases = [each for each in series if each.metric == LATENCY]
    pairs = [pair for each in cases for moment in moments if (pair := _pair(each, current, moment, margin))]
    if not pairs:
        return []
    judged = judge(
        [pair.evidence for pair in pairs],
        [math.log1p(pair.margin) for pair in pairs],
        plan=SINGLE_LOOK,
        look=0,
        policy=Policy(alpha=_ALPHA),
    )
    everything = [pair.evidence for pair in pairs]

    @cache
    def moved(fingerprint: str, then: frozenset[str]) -> Movement | None:
        for each in series:
            if each.metric == REFERENCE and each.fingerprint == fingerprint:
                pair = _pair(each, current, Moment("", then), margin)
                if pair is not None:
                    return movement(each.case, pair.evidence, everything, margin)
        return None

    outcomes = []
    for pair, item in zip(pairs, judged, strict=True):
        outcome = _outcome(pair, item)
        reference = moved(pair.series.fingerprint, frozenset(point.run.run_id for point in pair.then))
        outcomes.append(reference.blamed(outcome) if reference is not None else outcome)
    return outcomes


def slips(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that say something got slower."""
    return [outcome for outcome in outcomes if outcome.verdict is Verdict.REGRESSED]


@dataclass(frozen=True)
class _Pair:
    """One series' current value against one moment's, as log values of runs."""

    series: Series
    moment: Moment
    then: tuple[Point, ...]
    now: Point
    margin: float
    evidence: Evidence


def _pair(series: Series, current: str, moment: Moment, margin: float) -> _Pair | None:
    """None where the series has no usable current run, or none of the moment."""
    points = series.usable
    now = next((point for point in points if point.run.run_id == current), None)
    then = [point for point in points if point.run.run_id in moment.runs and point.run.run_id != current][-_RUNS_THEN:]
    if now is None or not then:
        return None
    if moment.of_one_commit:
        then = [point for point in then if point.run.commit == then[-1].run.commit]
    recent = [point for point in points if point.run.date <= now.run.date][-RECENT:]
    variance, dof = _noise(recent)
    before = [_datum(point) for point in then]
    value = _datum(now)
    evidence = Evidence(value - fmean(before), variance, dof, 1 / (1 + 1 / len(then)), robust=value - median(before))
    stated = now.figure.margin if now.figure.margin is not None else CPU_MARGIN
    return _Pair(series, moment, tuple(then), now, min(stated, margin), evidence)


def _datum(point: Point) -> float:
    return median(math.log(value) for value in point.figure.values)


def _noise(points: Sequence[Point]) -> tuple[float, float]:
    """The variance of one run's datum and its degrees of freedom, from the differences of successive runs.

    A step that the gate had a name for when it happened is no noise. For n differences the estimate is worth 2n/3
    degrees of freedom (J. von Neumann et al., "The mean square successive difference", Ann. Math. Statist. 12, 1941).
    """
    values = [(_datum(point), point.verdict) for point in points]
    differences = [
        later - earlier
        for (earlier, was), (later, became) in pairwise(values)
        if was == became or not {was, became} & set(_STEPS)
    ]
    if not differences:
        return 0.0, 0.0
    return fmean(each * each for each in differences) / 2, 2 * len(differences) / 3


def _outcome(pair: _Pair, item: object) -> Outcome:
    from inferkit.gate.rules.moderated import outcome_of
    from inferkit.gate.stats.judge import Judgement

    assert isinstance(item, Judgement)
    last = pair.then[-1].run
    runs = f"{len(pair.then)} run{'' if len(pair.then) == 1 else 's'}"
    commit = f" ({last.commit[:9]})" if last.commit else ""
    reason = f"against {runs} until {last.date:%Y-%m-%d}{commit}"
    if not item.can_gate:
        reason += ": how much runs differ is not known yet"
    before = [_datum(point) for point in pair.then]
    outcome = outcome_of(pair.series.case, pair.margin, before, [_datum(pair.now)], item, reason)
    return replace(outcome, metric=pair.moment.metric, replicates=0, baseline_replicates=0)
