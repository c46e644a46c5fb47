"""Parts `prepare` and `engines`: networks, references by ONNX Runtime, engines; all processes side by side."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tools.gpu.common import (
    BATCHES,
    LARGEST,
    NETWORKS,
    PRECISIONS,
    TIMED,
    Results,
    by_onnxruntime,
    fail,
    folder,
    keep_to,
    plan_path,
    say,
    scored,
    side_by_side,
    timed_plan_path,
)


def make_reference(name: str, threads: int) -> dict[str, Any]:
    """Load a network (which makes its weights), run 64 real images through ONNX Runtime in FP32, store both."""
    import inferkit
    from inferkit.measure.images import stand_in
    from inferkit.measure.layers.roofline import work_of

    start = time.perf_counter()
    network = scored(inferkit.load(name))
    loaded = time.perf_counter()
    images = stand_in(network.inputs[0], LARGEST)
    scores = by_onnxruntime(network, [images], threads)
    np.savez(folder("references") / f"{name}.npz", images=images, scores=scores)
    work = work_of(network)
    seconds = {"load_seconds": loaded - start, "reference_seconds": time.perf_counter() - loaded}
    return {**seconds, "operations": work.operations, "weights": work.weights}


def make_engine(name: str, precision: str) -> dict[str, Any]:
    """Rewrite the network and build its engine for batches of 1 to 64 (plan_path), with the scores as output."""
    keep_to(precision)
    import inferkit

    start = time.perf_counter()
    network = inferkit.at_precision(scored(inferkit.load(name)), precision)
    rewritten = time.perf_counter()
    for batch in BATCHES if precision == "fp32" else (LARGEST,):
        fixed = precision == "fp32"
        engine: Any = inferkit.build(network, backend="tensorrt", max_batch=batch, static=fixed, cache=False)
        engine.save(plan_path(name, precision, batch))
    return _facts(engine, rewritten - start, network.notes)


def make_timed_engines(name: str) -> dict[str, Any]:
    """The engines that are timed: FP16, each built for one batch alone."""
    import inferkit

    start = time.perf_counter()
    network = inferkit.at_precision(inferkit.load(name), "fp16")
    rewritten = time.perf_counter()
    made = {}
    for batch in BATCHES:
        engine: Any = inferkit.build(network, backend="tensorrt", max_batch=batch, static=True, cache=False)
        engine.save(timed_plan_path(name, batch))
        made[str(batch)] = _facts(engine, rewritten - start, network.notes)
    return made


def _facts(engine: Any, rewrite_seconds: float, notes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "rewrite_seconds": rewrite_seconds,
        "build_seconds": engine.info.build_seconds,
        "bytes": engine.info.size_bytes,
        "flavour": engine.info.flavour,
        "version": engine.info.version,
        "notes": list(notes),
    }


def run_timed(results: Results) -> None:
    """Part `engines`: those that are timed."""
    start = time.perf_counter()
    missing = [name for name in TIMED if not all(timed_plan_path(name, batch).exists() for batch in BATCHES)]
    made = dict(zip(missing, side_by_side(make_timed_engines, [(name,) for name in missing], 4), strict=True))
    for name, figures in made.items():
        if isinstance(figures, str):
            fail(f"engines {name}: {figures}")
    results.put("timed_engines", {**results.parts.get("timed_engines", {}), **made})
    say(f"engines to be timed: {', '.join(missing) or 'there'} ({time.perf_counter() - start:.1f} s)")


def run(results: Results) -> None:
    """Make what is missing; what an earlier run left in the suite's folder is kept."""
    start = time.perf_counter()
    earlier = results.parts.get("prepare", {})
    networks: dict[str, Any] = dict(earlier.get("networks", {}))
    engines: dict[str, Any] = dict(earlier.get("engines", {}))
    wanted = [name for name in NETWORKS if not isinstance(networks.get(name), dict)]
    networks |= dict(zip(wanted, side_by_side(make_reference, [(name, 4) for name in wanted], 4), strict=True))
    jobs = [(name, precision) for name in reversed(NETWORKS) for precision in PRECISIONS]
    missing = [job for job in jobs if not plan_path(*job, LARGEST).exists()]
    built = side_by_side(make_engine, missing, 12)
    engines |= {f"{name}-{precision}": figures for (name, precision), figures in zip(missing, built, strict=True)}
    for what, figures in (*networks.items(), *engines.items()):
        if isinstance(figures, str):
            fail(f"prepare {what}: {figures}")
    say(f"prepared in {time.perf_counter() - start:.1f} s")
    for name, precision in jobs:
        figures = engines.get(f"{name}-{precision}")
        if isinstance(figures, dict):
            say(
                f"  {name:10} {precision}  built in {figures['build_seconds']:5.1f} s  {figures['bytes'] / 1e6:6.1f} MB"
                f"  (network {figures['rewrite_seconds']:.1f} s)"
            )
    results.put("prepare", {"networks": networks, "engines": engines, "seconds": time.perf_counter() - start})
