"""The history as it is read: the points of one metric of one case on one kind of machine, oldest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from inferkit.gate.history.summary import Figure, RunInfo


@dataclass(frozen=True)
class Point:
    """What one run found. `figure` has the replicates and the verdict, `run` the date and the commit."""

    run: RunInfo
    figure: Figure

    @property
    def centre(self) -> float:
        """The middle of the replicates: seconds, bytes or percent."""
        return self.figure.centre

    @property
    def verdict(self) -> str | None:
        """What the run said of it, None where it did not judge."""
        return self.figure.verdict

    @property
    def usable(self) -> bool:
        """Whether the measurement was sound: a throttled one is not, one on a machine in another state is."""
        return self.figure.verdict != "INVALID" or self.figure.machine is not None


@dataclass(frozen=True)
class Series:
    """The points of one metric of one case on one kind of machine (fingerprint slug), oldest first."""

    project: str
    case: str
    metric: str
    fingerprint: str
    points: tuple[Point, ...]

    @property
    def usable(self) -> tuple[Point, ...]:
        """The points that were measured properly."""
        return tuple(point for point in self.points if point.usable)


def joined(parts: Iterable[Series]) -> list[Series]:
    """One series of the parts that are of the same; a point that several of them have stands there once."""
    found: dict[tuple[str, str, str, str], dict[str, Point]] = {}
    for part in parts:
        points = found.setdefault((part.project, part.case, part.metric, part.fingerprint), {})
        points.update((point.run.run_id, point) for point in part.points)
    return [
        Series(*key, tuple(sorted(points.values(), key=lambda point: (point.run.date, point.run.run_id))))
        for key, points in found.items()
    ]
