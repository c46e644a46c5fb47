"""Iterations of a loaded session, observed: the raw trace, and what host and GPU did meanwhile."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.measure.latency.iterations import WALL, Limits, iterate
from inferkit.measure.machine.gpu import GpuTelemetry, Summary
from inferkit.measure.machine.host import HostActivity, HostState, usable_cpus
from inferkit.measure.machine.processes import ProcessTimes
from inferkit.measure.machine.quiet_core import QuietCore

if TYPE_CHECKING:
    from inferkit.backends.base import Session


@dataclass(frozen=True, eq=False)
class Observed:
    """The raw trace [iterations, len(COLUMNS)] in seconds, what the host and the GPU did meanwhile, and `invalid`: why
    the machine was not in a state to measure."""

    trace: NDArray[np.float64]
    host: dict[str, Any]
    gpu: Summary | None
    invalid: tuple[str, ...]


def observe(session: Session, limits: Limits, batch_size: int, gpu: GpuTelemetry | None) -> Observed:
    """Iterate over the loaded batch of `batch_size`. On a `gpu` the thread that waits keeps to a quiet core."""
    processes, host_before = ProcessTimes.now(), HostState.now()
    if gpu is None:
        trace, telemetry, core_facts = iterate(session.execute, limits), None, {}
    else:
        with gpu.watch() as watch, contextlib.closing(QuietCore(session.execute)) as placed:
            trace = iterate(session.execute, limits, placed.check)
            core_facts = placed.as_dict()
        telemetry = watch.summary((len(trace) + placed.runs) * session.batches_per_round * batch_size)
    ended = float(trace[-1, 0] + trace[-1, WALL] * session.batches_per_round)
    activity = HostActivity.between(host_before, HostState.now(), ended, processes)
    invalid = activity.disturbances(usable_cpus()) if telemetry is None else telemetry.disturbances()
    return Observed(trace, {**activity.as_dict(), "cpus": usable_cpus(), **core_facts}, telemetry, invalid)
