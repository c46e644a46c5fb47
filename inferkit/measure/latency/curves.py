"""What curves of latency over batch size say together: where they cross, where throughput is reached, where they fall.

Two times differ where their error bars do not meet; nothing is said of a difference that lies within them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from inferkit.measure.latency.rounds import Interval

REACHED = 0.95  # of the highest throughput of a curve: from there on larger batches gain little

Curve = Mapping[int, Interval]


@dataclass(frozen=True)
class Crossing:
    """`faster` becomes the faster one of two: it was not at batch size `after`, it is at batch size `by`."""

    faster: str
    after: int
    by: int


@dataclass(frozen=True)
class Crossings:
    """Two curves compared: the faster one (None: no difference is seen) at each batch size that both have."""

    first: str
    second: str
    faster: Mapping[int, str | None]

    @property
    def found(self) -> tuple[Crossing, ...]:
        """Every change of the faster one, by rising batch size."""
        decided = [(batch, name) for batch, name in sorted(self.faster.items()) if name is not None]
        pairs = pairwise(decided)
        return tuple(Crossing(name, after, by) for (after, earlier), (by, name) in pairs if name != earlier)

    def text(self) -> str:
        """One sentence."""
        both = f"{self.first} and {self.second}"
        if not self.faster:
            return f"{both} have no batch size in common"
        if self.found:
            changes = (f"{each.faster} becomes faster between batch {each.after} and {each.by}" for each in self.found)
            return f"{both} cross: {', '.join(changes)}{self._open()}"
        names = {name for name in self.faster.values() if name is not None}
        if not names:
            return f"{both} do not cross: no difference is seen at any batch size"
        everywhere = "" if None in self.faster.values() else " at every batch size"
        return f"{both} do not cross: {names.pop()} is faster{everywhere}{self._open()}"

    def _open(self) -> str:
        batches = [str(batch) for batch, name in sorted(self.faster.items()) if name is None]
        return f"; no difference is seen at batch {', '.join(batches)}" if batches else ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "faster": {str(batch): name for batch, name in sorted(self.faster.items())},
            "crossings": [{"faster": each.faster, "after": each.after, "by": each.by} for each in self.found],
            "text": self.text(),
        }


def crossings(first: str, first_curve: Curve, second: str, second_curve: Curve) -> Crossings:
    """Compare two curves at the batch sizes that both have."""
    faster: dict[int, str | None] = {}
    for batch in sorted(first_curve.keys() & second_curve.keys()):
        first_time, second_time = first_curve[batch], second_curve[batch]
        if first_time.high < second_time.low:
            faster[batch] = first
        else:
            faster[batch] = second if second_time.high < first_time.low else None
    return Crossings(first, second, faster)


def saturation(curve: Curve) -> int | None:
    """The smallest batch size with REACHED of the curve's highest throughput; None where that is the largest measured
    one, with which throughput may rise still. ValueError for an empty curve."""
    rates = {batch: batch / interval.median for batch, interval in curve.items()}
    most = max(rates.values())
    reached = min(batch for batch, rate in rates.items() if rate >= REACHED * most)
    return None if reached == max(curve) else reached


def falls(curve: Curve) -> tuple[tuple[int, int], ...]:
    """Neighbouring batch sizes (smaller, larger) of which the larger takes less time, by more than the error bars."""
    batches = sorted(curve)
    return tuple((small, large) for small, large in pairwise(batches) if curve[large].high < curve[small].low)


def findings(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """All of it for JSON, curves by name: every pair's crossings, where throughput is reached, where a curve falls."""
    pairs = combinations(curves, 2)
    return {
        "crossings": [crossings(first, curves[first], second, curves[second]).as_dict() for first, second in pairs],
        "saturation": {name: saturation(curve) for name, curve in curves.items()},
        "falls": {name: [list(pair) for pair in falls(curve)] for name, curve in curves.items()},
    }


def sentences(found: Mapping[str, Any]) -> list[str]:
    """Findings in words."""
    lines = [each["text"] for each in found["crossings"]]
    for name, reached in found["saturation"].items():
        lines.append(
            f"{name}: throughput still rises at the largest batch"
            if reached is None
            else f"{name}: {REACHED:.0%} of the highest throughput is reached at batch {reached}"
        )
    falling = [
        f"{name}: batch {large} takes less time than batch {small}, by more than the error bars"
        for name, pairs in found["falls"].items()
        for small, large in pairs
    ]
    return lines + (falling or ["no curve falls with the batch size by more than its error bars"])
