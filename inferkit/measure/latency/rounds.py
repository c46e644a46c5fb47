"""A point of a curve, measured in rounds: the median of the rounds' medians, its error bar, and whether it is steady.

One long measurement would share the state that the machine happened to be in. Rounds come back later, in another
order, to a session that was opened anew: what they differ by is what the point can be trusted by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from inferkit.measure.latency.iterations import COLUMNS, WALL
from inferkit.measure.latency.observed import observe
from inferkit.measure.latency.warmup import WarmUp, warm_up
from inferkit.measure.machine.gpu import GpuTelemetry

if TYPE_CHECKING:
    from inferkit.backends.base import Session

STEADY = 0.05  # share of the median that a point's rounds may lie apart; above it the point is not steady
_PARTS = ("host_to_device", "compute", "device_to_host", "wall", "enqueue")


@dataclass(frozen=True)
class RoundLimits:
    """How long one round iterates: `min_time` seconds; a batch that takes longer runs once. See iterations.Limits."""

    min_time: float
    min_iterations: int = 1
    max_iterations: int = 20_000
    max_time: float = float("inf")


@dataclass(frozen=True)
class Round:
    """One round of a point. `parts` are the medians of the timed region's parts, seconds, None where unknown.

    `quartiles` are those of the wall time; `sm_mhz` and `power_watts` means over the round, None without NVML.
    `disturbances` say why the machine was not in a state to measure.
    """

    parts: dict[str, float | None]
    quartiles: tuple[float, float]
    iterations: int
    warm_up: WarmUp
    sm_mhz: float | None = None
    power_watts: float | None = None
    disturbances: tuple[str, ...] = ()

    @property
    def wall(self) -> float:
        """The median wall time, seconds."""
        wall = self.parts["wall"]
        assert wall is not None
        return wall


@dataclass(frozen=True)
class Interval:
    """A time (seconds) and its error bar: no less than `low`, no more than `high`."""

    low: float
    median: float
    high: float

    @property
    def spread(self) -> float:
        """The length of the error bar as a share of the median."""
        return (self.high - self.low) / self.median


def measure_round(session: Session, batch_size: int, seconds: float, warm_up_limit: float = 1.0) -> Round:
    """Warm up until times and clock have settled, at most `warm_up_limit` seconds, then iterate for `seconds`.

    The batch of `batch_size` is loaded. Raises the errors of backends.
    """
    gpu = None if session.device is None else GpuTelemetry(session.device)
    warmth = warm_up(lambda: session.execute().wall, limit=warm_up_limit, clock=None if gpu is None else gpu.sm_clock)
    observed = observe(session, RoundLimits(seconds), batch_size, gpu)
    columns = {part: observed.trace[:, COLUMNS.index(part)] for part in _PARTS}
    parts = {part: None if np.isnan(values).any() else float(np.median(values)) for part, values in columns.items()}
    low, high = np.percentile(observed.trace[:, WALL], (25, 75))
    clock, power = (None, None) if observed.gpu is None else (observed.gpu.sm_mhz_mean, observed.gpu.power_watts_mean)
    return Round(parts, (float(low), float(high)), len(observed.trace), warmth, clock, power, observed.invalid)


@dataclass(frozen=True)
class Timing:
    """What the rounds of one point say together; at least one round."""

    rounds: tuple[Round, ...]

    @property
    def interval(self) -> Interval:
        """The median of the rounds, and from the least to the largest of them: see `coverage`."""
        walls = [each.wall for each in self.rounds]
        return Interval(min(walls), median(walls), max(walls))

    @property
    def coverage(self) -> float:
        """How surely the interval holds the true median, whatever the distribution: all n independent rounds lie on
        one side of it with a probability of 2 / 2^n. Six rounds: 97 %."""
        return float(1 - 2.0 ** (1 - len(self.rounds)))

    @property
    def iterations(self) -> int:
        """Of all rounds."""
        return sum(each.iterations for each in self.rounds)

    def parts(self) -> dict[str, float | None]:
        """`part` for every part of the timed region, by name."""
        return {name: self.part(name) for name in _PARTS}

    def part(self, name: str) -> float | None:
        """The median over the rounds of one part of the timed region, None where a round does not know it."""
        values = [value for each in self.rounds if (value := each.parts[name]) is not None]
        return median(values) if len(values) == len(self.rounds) else None

    def unsteady(self) -> tuple[str, ...]:
        """Why the point is not steady; empty for one that is."""
        reasons: list[str] = []
        if len(self.rounds) < 2:
            reasons.append("a single round has no error bar")
        elif self.interval.spread > STEADY:
            reasons.append(f"its rounds lie {self.interval.spread:.1%} apart (at most {STEADY:.0%})")
        disturbed = [each.disturbances for each in self.rounds if each.disturbances]
        if disturbed:
            said = next(iter(disturbed[-1]))
            reasons.append(f"{len(disturbed)} of {len(self.rounds)} rounds were disturbed: {said}")
        return tuple(reasons)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, seconds."""
        interval = self.interval
        return {
            "median": interval.median,
            "low": interval.low,
            "high": interval.high,
            "coverage": self.coverage,
            "iterations": self.iterations,
            "steady": not self.unsteady(),
            "unsteady": list(self.unsteady()),
            "rounds": [asdict(each) for each in self.rounds],
        }


def with_round(timing: Timing | None, measured: Round) -> Timing:
    """A point's timing with one more round."""
    earlier: Sequence[Round] = () if timing is None else timing.rounds
    return Timing((*earlier, measured))
