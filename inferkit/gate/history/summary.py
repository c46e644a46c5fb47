"""What the history keeps of a run: its origin, and of every case each metric's replicates and verdict."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from inferkit.errors import HistoryError
from inferkit.gate.files.run_file import NO_COMMIT, RunFile
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.outcome import (
    ACCURACY,
    BUILD_TIME,
    COLD_START,
    DEVICE_MEMORY,
    ENGINE_SIZE,
    EXECUTION,
    HOST_MEMORY,
    LATENCY,
    P99,
    REFERENCE,
    SIDE_TIMES,
    TOP5,
    Outcome,
    Verdict,
)
from inferkit.gate.side import SideFacts


@dataclass(frozen=True)
class RunInfo:
    """Where a run came from. `date` is UTC; `commit` is empty where there was no repository, `dirty` where files
    differed from it. `run_id` follows from the content, so the same run taken twice is one.
    """

    run_id: str
    date: datetime
    commit: str = ""
    dirty: bool = False
    branch: str = ""
    project: str = ""
    version: str = ""
    source: str = ""


@dataclass(frozen=True)
class Figure:
    """One metric of one case in one run. `values` are the replicates' data: seconds, bytes, or percent.

    A latency's are the medians of fresh processes (their logarithms are the gate's log-medians). `replicates_known` is
    False where one value hides how many processes there were. `change` is a share, of accuracies points lost. `machine`
    is by how much the reference network moved, where the machine was to blame for an INVALID.
    """

    case: str
    metric: str
    fingerprint: str
    values: tuple[float, ...]
    verdict: str | None = None
    change: float | None = None
    margin: float | None = None
    reason: str = ""
    replicates_known: bool = True
    machine: float | None = None

    @property
    def centre(self) -> float:
        """The middle of the replicates."""
        return median(self.values)


@dataclass(frozen=True)
class RunSummary:
    """A run as the history keeps it."""

    run: RunInfo
    figures: tuple[Figure, ...]
    fingerprints: Mapping[str, Fingerprint] = field(default_factory=dict)


def summary_of(run: RunFile) -> RunSummary:
    """The summary of a run's file. HistoryError for one that holds no figures, or no date to put it in order by."""
    if run.smoke:
        raise HistoryError(f"{run.name}: was made with --benchmark-disable; its times say nothing")
    figures = tuple(_figures(run))
    if not figures:
        raise HistoryError(f"{run.name}: holds no figure to remember")
    date = _date(run)
    commit = "" if run.commit in NO_COMMIT else run.commit
    version = str(run.record.get("version") or "")
    identity = _identity(date, commit, figures)
    told = RunInfo(identity, date, commit, run.dirty, run.branch, run.project, version, Path(run.name).name)
    used = {figure.fingerprint for figure in figures}
    return RunSummary(told, figures, {slug: known for slug, known in run.fingerprints.items() if slug in used})


def _date(run: RunFile) -> datetime:
    try:
        date = datetime.fromisoformat(run.date)
    except ValueError:
        raise HistoryError(
            f"{run.name}: has no date that could be read ({run.date!r}), so it cannot be put in order"
        ) from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)


def _identity(date: datetime, commit: str, figures: Sequence[Figure]) -> str:
    content = [date.isoformat(), commit, [[f.case, f.metric, f.fingerprint, f.values] for f in figures]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _figures(run: RunFile) -> Iterator[Figure]:
    judged = {(outcome.case, outcome.metric): outcome for outcome in run.outcomes}
    for name, case in run.cases.items():
        sides = SideFacts.of(case.facts)
        values: dict[str, Sequence[float]] = {
            LATENCY: [math.exp(value) for value in case.log_medians],
            EXECUTION: [math.exp(value) for value in sides.log_execution],
            P99: [math.exp(value) for value in sides.log_p99],
            HOST_MEMORY: sides.memories,
            BUILD_TIME: sides.build_seconds,
            COLD_START: sides.cold_start,
            DEVICE_MEMORY: _one(sides.device_memory),
            ENGINE_SIZE: _one(sides.engine_bytes),
        }
        for metric, found in values.items():
            if found:
                told = _told(judged.get((name, metric)), case.margin if metric == LATENCY else None)
                latency = judged.get((name, LATENCY))
                if latency is not None and metric in SIDE_TIMES and _spoiled(latency):
                    # What spoiled the latency spoiled the other times of the same processes.
                    told = {"verdict": str(Verdict.INVALID), "reason": latency.reason}
                yield Figure(
                    name,
                    metric,
                    case.fingerprint,
                    tuple(map(float, found)),
                    replicates_known=case.replicates_known,
                    **told,
                )
    for slug, reference in run.references.items():
        times = tuple(map(math.exp, reference.log_medians))
        yield Figure(reference.name, REFERENCE, slug, times, margin=reference.margin)
    for name, accuracy in run.accuracy.items():
        told = _told(judged.get((name, ACCURACY)), accuracy.tolerance)
        yield Figure(name, ACCURACY, accuracy.fingerprint, (accuracy.top1,), **told)
        yield Figure(name, TOP5, accuracy.fingerprint, (accuracy.top5,))


def _spoiled(outcome: Outcome) -> bool:
    return outcome.verdict is Verdict.INVALID and outcome.machine is None


def _told(outcome: Outcome | None, margin: float | None) -> dict[str, Any]:
    if outcome is None:
        return {"margin": margin}
    stated = outcome.margin if outcome.margin is not None else margin
    return {
        "verdict": str(outcome.verdict),
        "change": outcome.change,
        "margin": stated,
        "reason": outcome.reason,
        "machine": outcome.machine,
    }


def _one(value: int | None) -> tuple[float, ...]:
    return () if value is None else (float(value),)
