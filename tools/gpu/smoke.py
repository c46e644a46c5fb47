"""Part `smoke`: a first look at a GPU machine, in under a minute: an embedded network in every mode.

What may go wrong there (bad input, threads, other processes, memory) is tested by `pytest tests -m gpu`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from inferkit.backends.base import Trace
from tools.gpu.common import Results, by_onnxruntime, relative_error, say, scored, step

_ERROR = 1e-2  # of the scores, relative to their norm, as in the part `outputs`


def run(results: Results) -> None:
    """Build in FP32 and FP16, run in both modes by either launch, and look at layers, telemetry and its cost."""
    import inferkit
    from inferkit.backends.gpus import visible_gpus
    from inferkit.backends.tensorrt import BACKEND
    from inferkit.measure.images import stand_in
    from inferkit.measure.machine.gpu import GpuTelemetry

    network = scored(inferkit.load("fashion_resnet"))
    images = stand_in(network.inputs[0], 32)
    want = by_onnxruntime(network, [images])
    engines: dict[str, Any] = {}

    def build(precision: str) -> dict[str, Any]:
        engines[precision] = inferkit.build(inferkit.at_precision(network, precision), backend="tensorrt", max_batch=32)
        info = engines[precision].info
        return {"seconds": info.build_seconds, "bytes": info.size_bytes, "from_cache": engines[precision].from_cache}

    def latency(precision: str, batch: int, launch: str) -> dict[str, Any]:
        return _latency(engines[precision], launch, images[:batch], want[:batch])

    def throughput(batch: int, launch: str) -> dict[str, Any]:
        return _throughput(engines["fp16"], launch, images[:batch], want[:batch])

    checks: dict[str, Callable[[], Any]] = {
        "gpus": lambda: [gpu.as_dict() for gpu in visible_gpus()],
        "availability": lambda: {name: str(BACKEND.availability(name)) for name in ("fp32", "int8")},
        "nvml": lambda: {"facts": GpuTelemetry(0).facts(), "reading": str(GpuTelemetry(0).read(own_context=False))},
        "build fp32": lambda: build("fp32"),
        "build fp16": lambda: build("fp16"),
    }
    for precision in ("fp32", "fp16"):
        for batch in (1, 8, 32):
            for launch in ("enqueue", "graph"):
                checks[f"latency {precision} b{batch} {launch}"] = partial(latency, precision, batch, launch)
    for batch, launch in ((8, "graph"), (32, "graph"), (8, "enqueue")):
        checks[f"throughput fp16 b{batch} {launch}"] = partial(throughput, batch, launch)
    checks["details"] = lambda: _details(engines["fp16"], images[:8])
    checks["watching"] = lambda: _watching(engines["fp16"], images[:1])
    figures: dict[str, Any] = {}
    for name, check in checks.items():
        with step(name):
            figures[name] = check()
            say(f"ok     {name}: {figures[name]}")
    results.put("smoke", figures)
    say(f"{len(figures)} of {len(checks)} passed")


def _require(holds: bool, otherwise: str) -> None:
    """AssertionError with its reason, also under -O."""
    if not holds:
        raise AssertionError(otherwise)


def _error(session: Any, want: Any) -> float:
    error = relative_error(next(iter(session.fetch().values())).reshape(want.shape), want)
    _require(error < _ERROR, f"relative error {error}")
    return error


def _latency(engine: Any, launch: str, images: Any, want: Any) -> dict[str, Any]:
    with engine.session(launch=launch) as session:
        session.load(images)
        for _ in range(200):
            session.execute()
        traces = [session.execute() for _ in range(300)]
        error = _error(session, want)
        return {"launch": session.launch, "note": session.launch_note, "error": error, "us": _medians(traces)}


def _medians(traces: list[Trace]) -> dict[str, float]:
    """Medians in microseconds, and what of the wall time the parts leave."""
    rest = median(trace.wall - trace.host_to_device - trace.compute - trace.device_to_host for trace in traces)
    names = ("host_to_device", "compute", "device_to_host", "wall", "enqueue")
    figures = {name: round(median(getattr(trace, name) or 0 for trace in traces) * 1e6, 1) for name in names}
    return {**figures, "wall_minus_parts": round(rest * 1e6, 1)}


def _throughput(engine: Any, launch: str, images: Any, want: Any) -> dict[str, Any]:
    with engine.session(mode="throughput", launch=launch) as session:
        session.load(images)
        for _ in range(5):
            session.execute()
        alone = median(session.execution_only(session.batches_per_round) for _ in range(7))
        wall = median(session.execute().wall for _ in range(7))
        return {
            "launch": session.launch,
            "note": session.launch_note,
            "error": _error(session, want),
            "us_per_batch": round(wall * 1e6, 1),
            "us_execution_only": round(alone * 1e6, 1),
            "share": round(alone / wall, 4),
            "batches_per_round": session.batches_per_round,
        }


def _details(engine: Any, images: Any) -> dict[str, Any]:
    with engine.session() as session:
        session.load(images)
        session.execute()
        details, layers, inspector = session.details(), session.layer_times(10), session.inspect()
        _require(bool(layers), "the profiler saw no layer")
        _require(bool(inspector), "the inspector said nothing")
        total = round(sum(row.seconds or 0.0 for row in layers) * 1e6, 1)
        return {**details, "layers": len(layers), "layer_sum_us": total, "memory_bytes": session.memory_bytes()}


def _watching(engine: Any, images: Any) -> dict[str, Any]:
    """What watching the GPU costs the measurement: medians and 99th percentiles of wall times, µs."""
    from contextlib import nullcontext

    from inferkit.measure.machine.gpu import GpuTelemetry

    figures = {}
    with engine.session() as session:
        session.load(images)
        for _ in range(500):
            session.execute()
        for name, interval in (("without", None), ("every_100ms", 0.1), ("every_20ms", 0.02), ("without_again", None)):
            with GpuTelemetry(session.device or 0).watch(interval) if interval else nullcontext():
                walls = [session.execute().wall for _ in range(2000)]
            figures[name] = [round(float(np.percentile(walls, each)) * 1e6, 2) for each in (50, 99)]
    return figures
