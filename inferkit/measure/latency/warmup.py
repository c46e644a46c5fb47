"""Warm-up until the time and the clock have settled, not a fixed count: the first runs pay for caches and boosts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

_WINDOWS = 3
_FEWEST_RUNS = 3
_TOLERANCE = 0.02  # share by which the medians of windows may differ


@dataclass(frozen=True)
class WarmUp:
    """How the warm-up went. `settled` is False where the time limit ended it: the report says so. Seconds."""

    runs: int
    seconds: float
    settled: bool


def warm_up(
    run: Callable[[], float],
    *,
    limit: float = 2.0,
    window: float = 0.05,
    clock: Callable[[], float | None] | None = None,
    now: Callable[[], float] = time.perf_counter,
) -> WarmUp:
    """Call `run` (returns the seconds it took) until the medians of three windows in a row agree within 2 %.

    A window is at least `window` seconds and three runs. Where `clock` can tell the device's frequency, that must
    agree too. Ends after `limit` seconds in any case, but never in mid-run.
    """
    start = now()
    medians: list[float] = []
    clocks: list[float] = []
    runs = 0
    while True:
        began = now()
        times: list[float] = []
        while len(times) < _FEWEST_RUNS or now() - began < window:
            times.append(run())
            if now() - start >= limit:
                break
        runs += len(times)
        medians.append(median(times))
        frequency = clock() if clock else None
        clocks.append(frequency if frequency else 1.0)
        if _steady(medians) and _steady(clocks):
            return WarmUp(runs, now() - start, True)
        if now() - start >= limit:
            return WarmUp(runs, now() - start, False)


def _steady(values: list[float]) -> bool:
    last = values[-_WINDOWS:]
    return len(last) == _WINDOWS and max(last) <= min(last) * (1 + _TOLERANCE)
