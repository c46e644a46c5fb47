"""Part `latency`: the study's sequence as a graph replay, each case in fresh processes; plain enqueue beside it."""

from __future__ import annotations

import contextlib
import gc
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from tools.gpu.common import (
    BATCHES,
    TIMED,
    Results,
    fail,
    in_fresh_process,
    reference,
    say,
    settle,
    timed_plan_path,
    variation,
)

SECONDS = 2.0  # measured per case and process: what disturbs a virtual machine comes and goes within tenths of a second
FEWEST, MOST = 100, 20_000  # iterations
PARTS = 10  # of a measurement, whose medians tell how steady it was
ENQUEUED = 60
WAYS = ("quiet", "free")
MAX_CV = 0.4  # percent, between processes
MAX_REST = 15e-6  # seconds of wall time that copies and execution leave, at batch 1


@dataclass(frozen=True)
class _Limits:
    min_time: float = SECONDS
    min_iterations: int = FEWEST
    max_iterations: int = MOST
    max_time: float = 10 * SECONDS


def measure(name: str, batch: int, way: str) -> dict[str, Any]:
    """One replicate of one case in this process: medians in seconds, telemetry, and how it was launched.

    The thread that waits keeps to a quiet core, as the suite's does, or it is `free`: wherever the system puts it.
    """
    from inferkit.backends.tensorrt import load_engine
    from inferkit.measure.latency.iterations import COLUMNS, iterate
    from inferkit.measure.machine.gpu import GpuTelemetry
    from inferkit.measure.machine.host import HostActivity, HostState, usable_cpus
    from inferkit.measure.machine.quiet_core import QuietCore

    images, _ = reference(name)
    opened = time.perf_counter()
    with load_engine(timed_plan_path(name, batch)).session() as session:
        session.load(images[:batch])
        session.execute()
        to_first = time.perf_counter() - opened
        settle(lambda: session.execute().wall)
        before = HostState.now()
        with (
            GpuTelemetry(session.device or 0).watch(0.25) as watch,
            contextlib.closing(QuietCore(session.execute)) as placed,
        ):
            trace = iterate(session.execute, _Limits(), placed.check if way == "quiet" else None)
            where = placed.as_dict()
        host = HostActivity.between(before, HostState.now(), float(trace[-1, 0]))
        for _ in range(10):
            session.execute_enqueued()
        enqueued = [session.execute_enqueued() for _ in range(ENQUEUED)]
        column = {part: trace[:, COLUMNS.index(part)] for part in COLUMNS}
        parts = ("host_to_device", "compute", "device_to_host")
        return {
            "launch": session.launch,
            "iterations": len(trace),
            **{part: float(np.median(column[part])) for part in ("wall", *parts)},
            "rest": float(np.median(column["wall"] - sum(column[part] for part in parts))),
            "wall_by_part": [float(np.median(walls)) for walls in np.array_split(column["wall"], PARTS)],
            "host": {**host.as_dict(), "cpus": usable_cpus(), **where},
            "enqueue_wall": median(trace.wall for trace in enqueued),
            "enqueue_submit": median(trace.enqueue or 0.0 for trace in enqueued),
            "enqueue_compute": median(trace.compute for trace in enqueued),
            "seconds_to_first_result": to_first,
            "jit": session._executor.jit,
            "memory_bytes": session.memory_bytes(),
            "telemetry": watch.summary((len(trace) + placed.runs) * batch).as_dict(),
        }


def child(case: str) -> dict[str, Any]:
    """One replicate of one case, `name:batch:way`, in a process that does nothing else."""
    name, batch, way = case.split(":")
    gc.disable()
    return {"way": way, **measure(name, int(batch), way)}


def run(results: Results, processes: int, ways: Sequence[str]) -> None:
    """`processes` fresh processes per case, in random order: what drifts meanwhile falls on all cases alike.

    They go the `ways` (quiet, free) one after the other.
    """
    start = time.perf_counter()
    cases = [(name, batch) for name in TIMED for batch in BATCHES]
    jobs = [(name, batch, ways[number % len(ways)]) for name, batch in cases for number in range(processes)]
    random.Random(1).shuffle(jobs)
    replicates: dict[str, list[dict[str, Any]]] = {f"{name}-b{batch}": [] for name, batch in cases}
    for name, batch, way in jobs:
        case = f"{name}-b{batch}"
        try:
            replicates[case].append(in_fresh_process("latency", f"{name}:{batch}:{way}", 60))
        except RuntimeError as error:
            fail(f"latency {case}: {error}")
            continue
        results.put("latency", replicates)  # at once: a machine that is taken away takes nothing with it
    say(f"latency, FP16, graph replay, {processes} fresh processes a case ({time.perf_counter() - start:.0f} s); µs")
    say(
        "  case            wall median (range)     CV % (compute)  in / compute / out     rest  enqueued (submit) bound"
    )
    for case, of_case in replicates.items():
        if of_case:
            _report(case, of_case)
            if len(ways) > 1:
                apart = {way: variation(each["wall"] for each in of_case if each["way"] == way) for way in ways}
                say("      CV " + ", ".join(f"{way} {share:.2f} %" for way, share in apart.items()))


def _report(case: str, replicates: list[dict[str, Any]]) -> None:
    def middle(name: str) -> float:
        return median(each[name] for each in replicates) * 1e6

    walls = [each["wall"] * 1e6 for each in replicates]
    spread, rest = variation(walls), middle("rest")
    own = variation(each["compute"] for each in replicates)
    bound = sum(each["enqueue_submit"] > 0.8 * each["enqueue_compute"] for each in replicates)
    say(
        f"  {case:13} {median(walls):9.1f} ({min(walls):.1f}-{max(walls):.1f})  {spread:5.2f} ({own:.2f})   "
        f"{middle('host_to_device'):6.1f} / {middle('compute'):7.1f} / {middle('device_to_host'):4.1f}  {rest:6.1f}   "
        f"{middle('enqueue_wall'):8.1f} ({middle('enqueue_submit'):6.1f})   {bound}/{len(replicates)}"
    )
    if not (math.isnan(spread) or spread <= MAX_CV):
        fail(f"latency {case}: between-process CV {spread:.2f} % over {MAX_CV} %")
    if case.endswith("-b1") and rest > MAX_REST * 1e6:
        fail(f"latency {case}: {rest:.1f} µs of the wall time are neither copies nor execution")
    launches = {each["launch"] for each in replicates}
    if launches != {"graph"}:
        fail(f"latency {case}: launched by {launches}, not as a graph")
