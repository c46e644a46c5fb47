"""Runs one engine until there are enough iterations: the raw trace that every figure is derived from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.base import Trace

# The columns of a raw trace: when an iteration began (seconds since the first), then the parts of its timed region.
COLUMNS = ("start", "host_to_device", "compute", "device_to_host", "wall", "enqueue")
WALL, COMPUTE = COLUMNS.index("wall"), COLUMNS.index("compute")
CHECK_SECONDS = 0.05
_FEWEST = 3  # iterations below which a median would be a single run


class Limits(Protocol):
    """When it is enough: see ReplicateSpec."""

    @property
    def min_time(self) -> float: ...
    @property
    def min_iterations(self) -> int: ...
    @property
    def max_iterations(self) -> int: ...
    @property
    def max_time(self) -> float: ...


def iterate(
    execute: Callable[[], Trace], limits: Limits, check: Callable[[Sequence[Trace]], None] | None = None
) -> NDArray[np.float64]:
    """The raw trace [iterations, len(COLUMNS)] in seconds, NaN where a part is not known.

    `check` is called with the traces since it was called last, before the first iteration and after every
    CHECK_SECONDS of measuring; its own time does not count.
    """
    traces: list[Trace] = []
    starts: list[float] = []
    clock = time.perf_counter
    began = clock()
    checking, due, checked = 0.0, 0.0, 0  # seconds spent checking, when it is due next, the iterations at the last time
    while True:
        now = clock() - began
        done, measured = len(traces), now - checking
        if done >= limits.max_iterations or (measured >= limits.min_time and done >= limits.min_iterations):
            break
        if now >= max(limits.max_time, limits.min_time) and done >= _FEWEST:
            break
        if check is not None and measured >= due:
            check(traces[checked:])
            due, checked = measured + CHECK_SECONDS, done
            checking += clock() - began - now
            continue
        starts.append(now)
        traces.append(execute())
    rows = [
        (start, t.host_to_device, t.compute, t.device_to_host, t.wall, np.nan if t.enqueue is None else t.enqueue)
        for start, t in zip(starts, traces, strict=True)
    ]
    return np.array(rows, np.float64)
