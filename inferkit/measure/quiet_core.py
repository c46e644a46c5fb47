"""Which core waits for the GPU: of a few, the one on which a run takes least; looked for again while measuring.

A thread that waits for a GPU spins on one core. Where somebody else keeps the other half of that core busy, or the
hypervisor put it far from the GPU, every run takes microseconds longer, and goes on doing so for seconds: two processes
would differ by what cores they came to, not by their engines.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from statistics import median
from types import TracebackType

LOOK_EVERY = 0.25  # seconds of measuring between two looks
_LOOK_SECONDS = 0.05  # what one look may cost
_MOST_CORES = 8
_SETTLING, _RUNS = 3, 8  # runs on each core: those that fill its caches, and those whose median counts


class QuietCore:
    """Keeps the calling thread on the core where `run` (returns the seconds it took) takes least.

    Chooses among the cores that the thread may use, and gives it back to all of them at the end. Where runs are so long
    that a look would cost more than a twentieth of a second, or the system does not bind threads, the thread stays
    free: then the core matters little. Threads that are started meanwhile inherit the core: start them before.
    """

    def __init__(self, run: Callable[[], float]) -> None:
        self._run = run
        self._allowed: set[int] = set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set()
        self.core: int | None = None
        self.looks = self.moves = self.runs = 0

    def __enter__(self) -> QuietCore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.core is not None:
            os.sched_setaffinity(0, self._allowed)

    def look(self) -> None:
        """Try the present core and some others, and stay on the quickest."""
        began = time.perf_counter()
        self._timed_run()
        cost = (time.perf_counter() - began) * (_SETTLING + _RUNS)
        count = min(int(_LOOK_SECONDS / cost), _MOST_CORES, len(self._allowed))
        if count < 2:
            return
        present = [] if self.core is None else [self.core]
        others = sorted(self._allowed.difference(present))
        tried = present + random.sample(others, count - len(present))
        try:
            took = {core: self._on(core) for core in tried}
            quickest = min(took, key=lambda core: took[core])
            os.sched_setaffinity(0, {quickest})
        except OSError:  # a core was taken away, or a sandbox forbids it
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, self._allowed)
            self.core, self._allowed = None, set()
            return
        self.looks += 1
        self.moves += quickest != self.core
        self.core = quickest

    def as_dict(self) -> dict[str, int | None]:
        """For JSON: the core at the end (None: the thread was free), how often was looked, and how often moved."""
        return {"core": self.core, "looks": self.looks, "moves": self.moves}

    def _on(self, core: int) -> float:
        os.sched_setaffinity(0, {core})
        for _ in range(_SETTLING):
            self._timed_run()
        return median(self._timed_run() for _ in range(_RUNS))

    def _timed_run(self) -> float:
        self.runs += 1
        return self._run()
