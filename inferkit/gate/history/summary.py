"""What the history keeps of a run: its origin, and of every case each metric's replicates and verdict."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from inferkit.errors import HistoryError
from inferkit.gate.files.run_file import NO_COMMIT
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.history.series import HistoryPoint, RunInfo
from inferkit.gate.metrics import ACCURACY, LATENCY, METRICS, REFERENCE, TOP5, Metric, is_timed, of_replicates
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.run import CaseRun, Measured, Run


@dataclass(frozen=True)
class RunSummary:
    """A run as the history keeps it: one point for each metric of each case."""

    run: RunInfo
    points: tuple[HistoryPoint, ...]
    fingerprints: Mapping[str, Fingerprint] = field(default_factory=dict)


def summary_of(run: Run) -> RunSummary:
    """The summary of a run. HistoryError for one that holds no figures, or no date to put it in order by."""
    if run.smoke:
        raise HistoryError(f"{run.name}: was made with --benchmark-disable; its times say nothing")
    figures = tuple(_figures(run))
    if not figures:
        raise HistoryError(f"{run.name}: holds no figure to remember")
    date = _date(run)
    origin = run.origin
    commit = "" if origin.commit in NO_COMMIT else origin.commit
    identity = _identity(date, commit, figures)
    info = RunInfo(
        identity, date, commit, origin.dirty, origin.branch, origin.project, origin.version, Path(run.name).name
    )
    used = {measured.fingerprint for measured, _, _ in figures}
    return RunSummary(
        info,
        tuple(HistoryPoint(info, metric.name, measured, outcome) for measured, metric, outcome in figures),
        {slug: fingerprint for slug, fingerprint in run.fingerprints.items() if slug in used},
    )


def _date(run: Run) -> datetime:
    try:
        date = datetime.fromisoformat(run.origin.date)
    except ValueError:
        raise HistoryError(
            f"{run.name}: has no date that could be read ({run.origin.date!r}), so it cannot be put in order"
        ) from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)


_Figure = tuple[Measured, Metric, Outcome | None]


def _identity(date: datetime, commit: str, figures: Sequence[_Figure]) -> str:
    rows = [[each.case, metric.name, each.fingerprint, each.values(metric)] for each, metric, _ in figures]
    return hashlib.sha256(json.dumps([date.isoformat(), commit, rows]).encode()).hexdigest()[:16]


def _figures(run: Run) -> Iterator[_Figure]:
    judged = {(outcome.case, outcome.metric): outcome for outcome in run.outcomes}
    for case in run.cases.values():
        yield from _of_case(case, judged)
    for reference in run.references.values():
        yield reference, METRICS[REFERENCE], None
    for accuracy in run.accuracy.values():
        for metric in (METRICS[ACCURACY], METRICS[TOP5]):
            if accuracy.values(metric):
                yield accuracy, metric, judged.get((accuracy.case, metric.name))


def _of_case(case: CaseRun, judged: Mapping[tuple[str, str], Outcome]) -> Iterator[_Figure]:
    latency = judged.get((case.case, LATENCY))
    spoiled = latency is not None and latency.verdict is Verdict.INVALID and latency.machine is None
    for metric in of_replicates():
        if not case.values(metric):
            continue
        outcome = judged.get((case.case, metric.name))
        if spoiled and latency is not None and metric.name != LATENCY and is_timed(metric.name):
            # What spoiled the latency spoiled the other times of the same processes.
            outcome = Outcome(case.case, metric.name, Verdict.INVALID, reason=latency.reason)
        yield case, metric, outcome
