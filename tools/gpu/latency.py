"""Part `latency`: the study's sequence as a graph replay, each case in fresh processes; plain enqueue beside it."""

from __future__ import annotations

import contextlib
import gc
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from tools.gpu.common import BATCHES, TIMED, Results, fail, reference, say, settle, timed_plan_path, variation

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
            trace = iterate(session.execute, _Limits(), placed.look if way == "quiet" else None)
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


def child(case: str) -> None:
    """A fresh process for one case, `name:batch:way`; prints one line of JSON."""
    name, batch, way = case.split(":")
    gc.disable()
    print(json.dumps({"way": way, **measure(name, int(batch), way)}))


def run(results: Results, processes: int, ways: Sequence[str]) -> None:
    """`processes` fresh processes per case, in random order: what drifts meanwhile falls on all cases alike.

    They go the `ways` (quiet, free) one after the other.
    """
    start = time.perf_counter()
    cases = [(name, batch) for name in TIMED for batch in BATCHES]
    jobs = [(name, batch, ways[number % len(ways)]) for name, batch in cases for number in range(processes)]
    random.Random(1).shuffle(jobs)
    found: dict[str, list[dict[str, Any]]] = {f"{name}-b{batch}": [] for name, batch in cases}
    for name, batch, way in jobs:
        case = f"{name}-b{batch}"
        command = [sys.executable, "-m", "tools.gpu", "--latency-child", f"{name}:{batch}:{way}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            fail(f"latency {case}: a process was not done after 60 s")
            continue
        if done.returncode != 0:
            fail(f"latency {case}: exit code {done.returncode}: {done.stderr[-800:]}")
            continue
        found[case].append(json.loads(done.stdout.strip().splitlines()[-1]))
        results.put("latency", found)  # at once: a machine that is taken away takes nothing with it
    say(f"latency, FP16, graph replay, {processes} fresh processes a case ({time.perf_counter() - start:.0f} s); µs")
    say(
        "  case            wall median (range)     CV % (compute)  in / compute / out     rest  enqueued (submit) bound"
    )
    for case, replicates in found.items():
        if replicates:
            _report(case, replicates)
            if len(ways) > 1:
                apart = {way: variation(each["wall"] for each in replicates if each["way"] == way) for way in ways}
                say("      CV " + ", ".join(f"{way} {share:.2f} %" for way, share in apart.items()))


def _report(case: str, found: list[dict[str, Any]]) -> None:
    def middle(name: str) -> float:
        return median(each[name] for each in found) * 1e6

    walls = [each["wall"] * 1e6 for each in found]
    spread, rest = variation(walls), middle("rest")
    own = variation(each["compute"] for each in found)
    bound = sum(each["enqueue_submit"] > 0.8 * each["enqueue_compute"] for each in found)
    say(
        f"  {case:13} {median(walls):9.1f} ({min(walls):.1f}-{max(walls):.1f})  {spread:5.2f} ({own:.2f})   "
        f"{middle('host_to_device'):6.1f} / {middle('compute'):7.1f} / {middle('device_to_host'):4.1f}  {rest:6.1f}   "
        f"{middle('enqueue_wall'):8.1f} ({middle('enqueue_submit'):6.1f})   {bound}/{len(found)}"
    )
    if not (math.isnan(spread) or spread <= MAX_CV):
        fail(f"latency {case}: between-process CV {spread:.2f} % over {MAX_CV} %")
    if case.endswith("-b1") and rest > MAX_REST * 1e6:
        fail(f"latency {case}: {rest:.1f} µs of the wall time are neither copies nor execution")
    launches = {each["launch"] for each in found}
    if launches != {"graph"}:
        fail(f"latency {case}: launched by {launches}, not as a graph")
