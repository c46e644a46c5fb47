"""Parts `throughput`, `polygraphy` and `torch`: what overlapping reaches, and what others do with the same network."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.gpu.common import (
    BATCHES,
    TIMED,
    Results,
    fail,
    in_fresh_process,
    reference,
    say,
    settle,
    softmax,
    timed_plan_path,
)

MIN_SHARE = 0.98  # of the execution-only rate
FASTER_THAN_POLYGRAPHY = {1: 1.7, 64: 1.25}


def throughput(name: str, batch: int) -> dict[str, Any]:
    """Seconds per batch with copies overlapped, and of executions alone, alternating in this process."""
    from inferkit.backends.tensorrt import load_engine

    images, scores = reference(name)
    with load_engine(timed_plan_path(name, batch)).session(mode="throughput") as session:
        session.load(images[:batch])
        settle(lambda: session.execute().wall)
        rounds = []
        for _ in range(7):
            alone = session.execution_only(session.batches_per_round)
            rounds.append((alone, session.execute().wall))
        got = next(iter(session.fetch().values()))
        return {
            "wall": median(wall for _, wall in rounds),
            "alone": median(alone for alone, _ in rounds),
            "share": median(alone / wall for alone, wall in rounds),
            "batches_per_round": session.batches_per_round,
            "largest_probability_error": _largest_error(got, scores[:batch]),
        }


def polygraphy(name: str, batch: int) -> dict[str, Any]:
    """Polygraphy's runner on the same plan: host time around infer, which copies in and out."""
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner

    images, scores = reference(name)
    feed = {"data": np.ascontiguousarray(images[:batch])}
    with TrtRunner(EngineFromBytes(timed_plan_path(name, batch).read_bytes())) as runner:

        def once() -> float:
            start = time.perf_counter()
            runner.infer(feed)
            return time.perf_counter() - start

        once()
        # Its kernels are specialized in the background and swapped in after a second or two.
        settle(once, least=3.0, most=5.0)
        walls = [once() for _ in range(200)]
        got = next(iter(runner.infer(feed).values()))
        return {"wall": median(walls), "largest_probability_error": _largest_error(np.asarray(got), scores[:batch])}


def in_torch(name: str, batch: int) -> dict[str, Any]:
    """PyTorch, channels_last, FP16, one CUDA graph of copy in, execution and copy out."""
    from tools.gpu.torch_twin import measure_in_torch

    images, scores = reference(name)
    return measure_in_torch(name, images[:batch], softmax(scores[:batch]), settle)


def _largest_error(probabilities: NDArray[Any], scores: NDArray[Any]) -> float:
    return float(np.abs(probabilities.reshape(scores.shape) - softmax(scores)).max())


PARTS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "throughput": throughput,
    "polygraphy": polygraphy,
    "torch": in_torch,
}


def child(part: str) -> dict[str, Any]:
    """All cases of one part, in a process of its own."""
    cases: dict[str, Any] = {}
    for name in TIMED:
        for batch in BATCHES if part != "polygraphy" else [size for size in BATCHES if size != 8]:
            try:
                cases[f"{name}-b{batch}"] = PARTS[part](name, batch)
            except Exception as error:
                cases[f"{name}-b{batch}"] = {"failed": f"{type(error).__name__}: {error}"[:600]}
    return cases


def run(results: Results, part: str) -> None:
    """All cases of one part in a process of its own."""
    cases = in_fresh_process("peers", part, 240, POLYGRAPHY_USE_TENSORRT_RTX="1")
    results.put(part, cases)
    for case, figures in cases.items():
        if "failed" in figures:
            fail(f"{part} {case}: {figures['failed']}")


def report(results: Results) -> None:
    """One table of everybody, per batch in µs, and the share of the physical limit."""
    from inferkit.measure.layers.roofline import Work, card_of, limit_of
    from inferkit.measure.machine.gpu import GpuTelemetry

    gpu = GpuTelemetry(0).facts().get("name")
    card = card_of(gpu)
    replicates = results.parts.get("latency") or {}
    say(f"side by side, FP16, wall per batch in µs; limit: data sheet of {gpu}")
    say("  case            latency  throughput (alone, share)   Polygraphy   PyTorch graph   limit (of compute)")
    for name in TIMED:
        for batch in BATCHES:
            case = f"{name}-b{batch}"
            of_case = replicates.get(case) or []
            latency = median(each["wall"] for each in of_case) if of_case else float("nan")
            compute = median(each["compute"] for each in of_case) if of_case else float("nan")
            over = results.parts.get("throughput", {}).get(case, {})
            runner = results.parts.get("polygraphy", {}).get(case, {}).get("wall", float("nan"))
            twin = results.parts.get("torch", {}).get(case, {}).get("wall", float("nan"))
            network = results.parts.get("prepare", {}).get("networks", {}).get(name)
            floor = float("nan")
            if card and isinstance(network, dict):
                pixels, classes = (int(np.prod(array.shape[1:])) for array in reference(name))
                work = Work(network["operations"], network["weights"], pixels, classes)
                floor = limit_of(work, "fp16", batch, card).seconds
            say(
                f"  {case:13} {latency * 1e6:9.1f}  {over.get('wall', float('nan')) * 1e6:9.1f} "
                f"({over.get('alone', float('nan')) * 1e6:.1f}, {100 * over.get('share', float('nan')):.1f} %)"
                f"   {runner * 1e6:9.1f}  {twin * 1e6:12.1f}   {floor * 1e6:8.1f} ({100 * floor / compute:.0f} %)"
            )
            _judge(case, batch, latency, over, runner)


def _judge(case: str, batch: int, latency: float, over: dict[str, Any], runner: float) -> None:
    if batch in (8, 64) and over and not over.get("share", 0) >= MIN_SHARE:
        fail(f"throughput {case}: {100 * over.get('share', 0):.1f} % of the execution-only rate")
    factor = FASTER_THAN_POLYGRAPHY.get(batch)
    ours = latency if batch == 1 else over.get("wall", float("nan"))
    if factor and runner == runner and not runner / ours >= factor:
        fail(f"{case}: {runner / ours:.2f} times as fast as Polygraphy's runner, not {factor}")
