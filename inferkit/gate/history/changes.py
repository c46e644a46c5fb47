"""Change points in the history, found by Apache Otava, each with the commits that it lies between.

Otava (the successor of Hunter: Fleming et al., ICPE 2023, doi 10.1145/3578244.3583719) splits a series where its two
parts differ most (E-divisive means) and keeps the splits that a t-test finds significant. It is installed by the extra
`history`; only its analysis is used, on the runs' middle values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inferkit.errors import UsageError
from inferkit.gate.history.series import HistoryPoint, HistorySeries
from inferkit.gate.metrics import REFERENCE

P_VALUE = 0.001  # Otava's own default
LEAST_CHANGE = 0.01
_FEWEST = 4  # runs: two before and two after
_WINDOW = 50  # Otava's own default


@dataclass(frozen=True)
class ChangePoint:
    """Where a series changed: `base` is the last run before it, `head` the first after; `change` is a share (0.05: 5 %
    more).

    `machine`: the reference network of the same kind of machine changed between the same runs.
    """

    base: HistoryPoint
    head: HistoryPoint
    change: float
    p_value: float
    machine: bool = False

    @property
    def commits(self) -> str:
        """`git log` takes this: `0123abc..4567def`; or in words why it names no range."""
        base, head = self.base.run, self.head.run
        if not (base.commit and head.commit):
            return "commits are not known"
        if base.commit == head.commit:
            dirty = " with changes that no commit has" if base.dirty or head.dirty else ""
            return f"within {head.commit[:9]}{dirty}"
        return f"{base.commit[:9]}..{head.commit[:9]}"

    @property
    def line(self) -> str:
        """One line: change, commits, dates, whose doing."""
        dates = f"{self.base.run.date:%Y-%m-%d %H:%M} to {self.head.run.date:%Y-%m-%d %H:%M}"
        whose = "; the reference network moved there too: the machine did" if self.machine else ""
        return f"{self.change:+.1%} in {self.commits} ({dates}){whose}"


def change_points(series: HistorySeries, references: Sequence[HistorySeries] = ()) -> list[ChangePoint]:
    """Where the series changed, oldest first; runs measured as INVALID are left out.

    `references` are series of the reference network. UsageError where Otava is not installed.
    """
    points = series.usable
    moved = {
        point.head.run.run_id
        for reference in references
        if reference.metric == REFERENCE and reference.fingerprint == series.fingerprint
        for point in change_points(reference)
    }
    if len(points) < _FEWEST:
        return []
    changes = []
    for each in _analysed([point.centre for point in points]):
        base, head = points[each.index - 1], points[each.index]
        change = float(each.stats.forward_rel_change())
        changes.append(ChangePoint(base, head, change, float(each.stats.pvalue), head.run.run_id in moved))
    return changes


def _analysed(values: list[float]) -> list[Any]:
    try:
        from otava.analysis import compute_change_points
    except ImportError as error:
        raise UsageError(
            f"change points are found by Apache Otava, which cannot be imported ({error}): pip install apache-otava"
        ) from None
    strong, _ = compute_change_points(values, window_len=_WINDOW, max_pvalue=P_VALUE, min_magnitude=LEAST_CHANGE)
    return list(strong)
