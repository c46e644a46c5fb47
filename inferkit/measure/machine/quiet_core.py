"""Chooses the CPU core that waits for the GPU: one that loses no time, and another as soon as it does.

A thread that waits for a GPU spins on one core. Where somebody else keeps the other half of that core busy, or the
hypervisor put it far from the GPU, every run takes microseconds longer, and goes on doing so for tenths of a second or
for many: two processes would differ by what cores they came to, not by their engines.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Sequence
from math import inf
from statistics import median
from typing import Any

from inferkit.backends.base import Trace
from inferkit.errors import MeasurementError
from inferkit.measure.machine.lease import device_lease

_SEARCH_SECONDS = 0.05  # what one search may take
_SEARCH_SHARE = 0.3  # and all of them together, of the time since the first
_MOST_CORES = 8
_SETTLING, _RUNS = 3, 8  # runs on each core: those that fill its caches, and those whose median counts
_CLOSE = 0.003  # of the wall time: a core that loses this much more than the quickest did is as good

_clock = time.perf_counter


class QuietCore:
    """Keeps the calling thread on a core where `run` loses least, until `close`.

    What is lost is what the host can lose: the wall time without execution and copying out. Where runs are so long that
    trying two cores takes more than a twentieth of a second, or the system does not bind threads, the thread stays
    free. Threads that are started meanwhile inherit the core: start them before. Cores are leased: measurements on
    other GPUs of the machine neither choose nor try the same.
    """

    def __init__(self, run: Callable[[], Trace]) -> None:
        self._run = run
        self._allowed: set[int] = set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set()
        self._choosing = len(self._allowed) > 1
        self._lease = contextlib.ExitStack()
        self._least = inf
        self._began = _clock()
        self.core: int | None = None
        self.searches = self.moves = self.runs = 0
        self.seconds = 0.0

    def close(self) -> None:
        """Let the thread run on all of its cores again, and choose no more."""
        self._choosing = False
        self._lease.close()
        if self.core is not None:
            self.core = None
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, self._allowed)

    def check(self, last: Sequence[Trace] = ()) -> None:
        """Stay where the `last` runs lost no more than runs on the quickest core did, or try others and move."""
        took: dict[int, float] = {}
        if not self._choosing:
            return
        if self.core is not None and last:
            took[self.core] = _lost(last)
            if took[self.core] <= self._least + _CLOSE * median(trace.wall for trace in last):
                return
        began = _clock()
        if self.seconds > _SEARCH_SHARE * (began - self._began):
            return
        try:
            self._search(took, began)
        except OSError:  # a core was taken away, or a sandbox forbids it
            self.close()
        self.seconds += _clock() - began

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the core (None: the thread is free), how often others were tried, and how often it moved."""
        return {"core": self.core, "searches": self.searches, "moves": self.moves}

    def _search(self, took: dict[int, float], began: float) -> None:
        wall, cost = self._cost()
        if 2 * cost > _SEARCH_SECONDS:
            self.close()
            return
        others = sorted(self._allowed.difference(took))
        enough = self._least + _CLOSE * wall if self._least < inf else -inf
        with contextlib.ExitStack() as tried:
            for core in random.sample(others, min(len(others), _MOST_CORES)):
                if not _lease(core, tried):
                    continue
                took[core] = self._on(core)
                if took[core] <= enough or _clock() - began + cost > _SEARCH_SECONDS:
                    break
        if took:
            self._settle_on(min(took, key=lambda core: took[core]), min(took.values()))

    def _settle_on(self, core: int, lost: float) -> None:
        os.sched_setaffinity(0, {core})
        self._least = min(self._least, lost)
        self.searches += 1
        if core != self.core:
            self.moves += 1
            self.core = core
            self._lease.close()
            _lease(core, self._lease)

    def _cost(self) -> tuple[float, float]:
        """The wall time of a run, and what trying one core takes: by the shorter of two, in case one is disturbed."""
        walls, took = [], []
        for _ in range(2):
            began = _clock()
            walls.append(self._counted_run().wall)
            took.append(_clock() - began)
        return min(walls), min(took) * (_SETTLING + _RUNS)

    def _on(self, core: int) -> float:
        os.sched_setaffinity(0, {core})
        for _ in range(_SETTLING):
            self._counted_run()
        return _lost([self._counted_run() for _ in range(_RUNS)])

    def _counted_run(self) -> Trace:
        self.runs += 1
        return self._run()


def _lease(core: int, stack: contextlib.ExitStack) -> bool:
    """Whether nobody else measures from this core now; it is leased until `stack` closes."""
    try:
        stack.enter_context(device_lease(f"cpu-{core}", timeout=0))
    except MeasurementError:
        return False
    return True


def _lost(traces: Sequence[Trace]) -> float:
    return median(trace.wall - trace.compute - trace.device_to_host for trace in traces)
