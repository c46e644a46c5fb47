"""The history as it is read: the points of one metric of one case on one kind of machine, oldest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from inferkit.gate.metrics import REFERENCE, Metric, Test, named
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.run import CaseRun, Measured
from inferkit.gate.units import Unit


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
class HistoryPoint:
    """One metric of one case in one run: what was measured, and what the run judged it as (None: not at all)."""

    run: RunInfo
    metric: str
    measured: Measured
    outcome: Outcome | None = None

    @property
    def values(self) -> tuple[float, ...]:
        """The value of each replicate: seconds, bytes or percent. A latency's are the medians of fresh processes."""
        return self.measured.values(metric_named(self.metric))

    @property
    def centre(self) -> float:
        """The median of the replicates."""
        return median(self.values)

    @property
    def verdict(self) -> str | None:
        """What the run judged it as, None where it did not."""
        return None if self.outcome is None else str(self.outcome.verdict)

    @property
    def change(self) -> float | None:
        """Against what the run was compared with: a share, of accuracies points lost."""
        return None if self.outcome is None else self.outcome.change

    @property
    def margin(self) -> float | None:
        """The margin that it was judged by, else the case's own where that is of this metric."""
        if self.outcome is not None and self.outcome.margin is not None:
            return self.outcome.margin
        own = metric_named(self.metric).test in (Test.SUITE, Test.PAIRED) or self.metric == REFERENCE
        return self.measured.margin if own else None

    @property
    def reason(self) -> str:
        """Why it was judged so."""
        return "" if self.outcome is None else self.outcome.reason

    @property
    def machine(self) -> float | None:
        """By how much the reference network moved, where an INVALID is the machine's."""
        return None if self.outcome is None else self.outcome.machine

    @property
    def replicates_known(self) -> bool:
        """False where one value hides how many processes there were."""
        return not isinstance(self.measured, CaseRun) or self.measured.replicates_known

    @property
    def usable(self) -> bool:
        """Whether the measurement was sound: a throttled one is not, one on a machine in another state is."""
        return self.verdict != Verdict.INVALID or self.machine is not None


@dataclass(frozen=True)
class HistorySeries:
    """The points of one metric of one case on one kind of machine (fingerprint slug), oldest first."""

    project: str
    case: str
    metric: str
    fingerprint: str
    points: tuple[HistoryPoint, ...]

    @property
    def usable(self) -> tuple[HistoryPoint, ...]:
        """The points that were measured properly."""
        return tuple(point for point in self.points if point.usable)


def metric_named(name: str) -> Metric:
    """The row of a metric; for one that no row has any more, plain values under its name."""
    return named(name) or Metric(name, Unit.COUNT, name, Test.NONE)


def joined(parts: Iterable[HistorySeries]) -> list[HistorySeries]:
    """One series of the parts that are of the same; a point that several of them have stands there once."""
    groups: dict[tuple[str, str, str, str], dict[str, HistoryPoint]] = {}
    for part in parts:
        points = groups.setdefault((part.project, part.case, part.metric, part.fingerprint), {})
        points.update((point.run.run_id, point) for point in part.points)
    return [
        HistorySeries(*key, tuple(sorted(points.values(), key=lambda point: (point.run.date, point.run.run_id))))
        for key, points in groups.items()
    ]
