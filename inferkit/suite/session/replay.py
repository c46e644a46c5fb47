"""Handing times that were measured elsewhere to pytest-benchmark, through its own timer option.

Its fixture takes a timer by the `benchmark` marker and reads it before and after each round; this one answers with the
recorded time, so that the statistics, the table and the JSON are pytest-benchmark's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# pytest-benchmark works through its rounds in Python; beyond this it costs seconds and megabytes per case.
MOST_ROUNDS = 1000


class ReplayTimer:
    """Called twice per round: 0.0, then the next recorded time, so that their difference is exactly that."""

    def __init__(self) -> None:
        self.__name__ = "recorded times"  # what pytest-benchmark writes as the timer's name
        self._times: list[float] = []
        self._next = 0
        self._started = False

    def record(self, times: Sequence[float]) -> int:
        """Take the times to replay; returns how many rounds they are."""
        self._times, self._next, self._started = [float(time) for time in times], 0, False
        return len(self._times)

    def __call__(self) -> float:
        self._started = not self._started
        if self._started:
            return 0.0
        time = self._times[min(self._next, len(self._times) - 1)]
        self._next += 1
        return time


def replay(benchmark: Any, timer: ReplayTimer, times: Sequence[float]) -> None:
    """Run pytest-benchmark's fixture over the recorded times (at least one)."""
    benchmark.pedantic(_nothing, rounds=timer.record(times))


def thinned(walls: Sequence[np.ndarray], most: int = MOST_ROUNDS) -> list[float]:
    """At most `most` of each replicate's times, evenly spaced over its run: the distribution stays."""
    kept: list[float] = []
    for wall in walls:
        chosen = np.linspace(0, len(wall) - 1, min(len(wall), most)).round().astype(int)
        kept += wall[chosen].tolist()
    return kept


def _nothing() -> None:
    """What pytest-benchmark calls between its two readings of the timer."""
