"""Part `latency`: the study's sequence as a graph replay, each case in fresh processes; plain enqueue beside it."""

from __future__ import annotations

import gc
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from tools.gpu_suite.common import BATCHES, TIMED, Results, fail, reference, say, settle, timed_plan_path, variation

SECONDS = 2.0  # measured per case and process: what disturbs a virtual machine comes and goes within tenths of a second
FEWEST, MOST = 100, 20_000  # iterations
PARTS = 10  # of a measurement, whose medians tell how steady it was
ENQUEUED = 60
WAYS = ("quiet", "free")
MAX_CV = 0.4  # percent, between processes
MAX_REST = 15e-6  # seconds of wall time that copies and execution leave, at batch 1


def measure(name: str, batch: int, thread: str) -> dict[str, Any]:
    """One replicate of one case in this process: medians in seconds, telemetry, and how it was launched.

    The measuring thread stays where the system puts it (`free`), or keeps to the quietest of a few cores, as the
    suite's does (`quiet`).
    """
    from inferkit.backends.tensorrt import load_engine
    from inferkit.measure.environment import HostActivity, HostState, usable_cpus
    from inferkit.measure.telemetry import GpuTelemetry

    images, _ = reference(name)
    opened = time.perf_counter()
    with load_engine(timed_plan_path(name, batch)).session() as session:
        session.load(images[:batch])
        session.execute()
        to_first = time.perf_counter() - opened
        settle(lambda: session.execute().wall)
        iterations = min(max(int(SECONDS / session.execute().wall), FEWEST), MOST)
        before, began = HostState.now(), time.perf_counter()
        with GpuTelemetry(session.device or 0).watch(0.25) as watch:
            traces, lost = _traces(session, iterations, thread)
        host = HostActivity.between(before, HostState.now(), time.perf_counter() - began)
        for _ in range(10):
            session.execute_enqueued()
        enqueued = [session.execute_enqueued() for _ in range(ENQUEUED)]
        rest = [trace.wall - trace.host_to_device - trace.compute - trace.device_to_host for trace in traces]
        return {
            "launch": session.launch,
            "iterations": len(traces),
            "wall": median(trace.wall for trace in traces),
            "wall_by_part": [
                median(trace.wall for trace in traces[len(traces) * part // PARTS : len(traces) * (part + 1) // PARTS])
                for part in range(PARTS)
            ],
            "host": {**host.as_dict(), "cpus": usable_cpus()},
            "host_to_device": median(trace.host_to_device for trace in traces),
            "compute": median(trace.compute for trace in traces),
            "device_to_host": median(trace.device_to_host for trace in traces),
            "rest": median(rest),
            "enqueue_wall": median(trace.wall for trace in enqueued),
            "enqueue_submit": median(trace.enqueue or 0.0 for trace in enqueued),
            "enqueue_compute": median(trace.compute for trace in enqueued),
            "seconds_to_first_result": to_first,
            "jit": session._executor.jit,
            "memory_bytes": session.memory_bytes(),
            "telemetry": watch.summary((len(traces) + lost) * batch).as_dict(),
        }


def _traces(session: Any, iterations: int, thread: str) -> tuple[list[Any], int]:
    """That many traces, and how many runs a quiet core was looked for with (as often as the suite does)."""
    from inferkit.measure.quiet_core import LOOK_EVERY, QuietCore

    if thread == "free":
        return [session.execute() for _ in range(iterations)], 0
    traces: list[Any] = []
    with QuietCore(lambda: session.execute().wall) as placed:
        while len(traces) < iterations:
            placed.look()
            until = time.perf_counter() + LOOK_EVERY
            while len(traces) < iterations and time.perf_counter() < until:
                traces.append(session.execute())
    return traces, placed.runs


def child(case: str) -> None:
    """A fresh process for one case, `name:batch:thread`; prints one line of JSON."""
    name, batch, thread = case.split(":")
    gc.disable()
    print(json.dumps({"thread": thread, **measure(name, int(batch), thread)}))


def run(results: Results, processes: int, ways: Sequence[str]) -> None:
    """`processes` fresh processes per case, in random order: what drifts meanwhile falls on all cases alike.

    Their measuring threads go the `ways` (quiet, free) in turn.
    """
    start = time.perf_counter()
    cases = [(name, batch) for name in TIMED for batch in BATCHES]
    jobs = [(name, batch, ways[number % len(ways)]) for name, batch in cases for number in range(processes)]
    random.Random(1).shuffle(jobs)
    found: dict[str, list[dict[str, Any]]] = {f"{name}-b{batch}": [] for name, batch in cases}
    for name, batch, thread in jobs:
        case = f"{name}-b{batch}"
        command = [sys.executable, "-m", "tools.gpu_suite", "--latency-child", f"{name}:{batch}:{thread}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            fail(f"latency {case}: a process was not done after 60 s")
            continue
        if done.returncode != 0:
            fail(f"latency {case}: exit code {done.returncode}: {done.stderr[-800:]}")
            continue
        found[case].append(json.loads(done.stdout.strip().splitlines()[-1]))
    results.put("latency", found)
    say(f"latency, FP16, graph replay, {processes} fresh processes a case ({time.perf_counter() - start:.0f} s); µs")
    say(
        "  case            wall median (range)     CV % (compute)  in / compute / out     rest  enqueued (submit) bound"
    )
    for case, replicates in found.items():
        if replicates:
            _report(case, replicates)
            if len(ways) > 1:
                apart = {way: variation(each["wall"] for each in replicates if each["thread"] == way) for way in ways}
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
