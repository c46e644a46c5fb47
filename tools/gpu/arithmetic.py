"""Parts `rounding`, `accumulation` and `strict`: how exactly an engine computes, and how exactly it could."""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tools.gpu.building.prepare import make_reference
from tools.gpu.common import (
    BATCHES,
    NETWORKS,
    TIMED,
    Results,
    by_onnxruntime,
    folder,
    keep_to,
    reference,
    relative_error,
    say,
    scored,
    side_by_side,
)

LENGTHS = (1152, 4608)  # products per sum
_FIRST, _LARGE, _SMALL = 576, 7.0, 2.0**-4
_ROUNDED = 8  # images at once on the CPU
_RUNS = 30


def rounding(results: Results) -> None:
    """What FP16 costs each network's scores where sums are kept in FP32: no engine can be expected to do better.

    Needs no GPU: FP32 arithmetic on the CPU rounds every weight and every result (inferkit.precision.emulation).
    """
    import inferkit
    from inferkit.precision.emulation import emulated

    errors: dict[str, float] = {}
    for name in NETWORKS:
        if not (folder("references") / f"{name}.npz").exists():
            make_reference(name, threads=0)
        images, scores = reference(name)
        half = emulated(inferkit.at_precision(scored(inferkit.load(name)), "fp16"))
        batches = (images[start : start + _ROUNDED] for start in range(0, len(images), _ROUNDED))
        errors[name] = relative_error(by_onnxruntime(half, batches), scores)
        say(f"{name}: rounding to FP16 alone costs {errors[name]:.2e} of the scores")
    results.put("rounding", errors)


def long_sum(kind: str, length: int) -> tuple[onnx.ModelProto, float]:
    """A network of one layer for an input of ones, and the sum that it should compute.

    A sum is brought to 4,032 by its first products; each further product is 1/16, and each 16 of them are 1. FP16
    counts in steps of 2 up there, so a sum kept in FP16 stays where it is, and one kept in FP32 grows.
    """
    channels, flat = length // 9, np.full(length, _SMALL, np.float16)
    flat[:_FIRST] = _LARGE
    if kind == "conv":
        weights = np.repeat(flat.reshape(1, channels, 3, 3), 64, axis=0)
        shapes, node = ([1, channels, 8, 8], [1, 64, 6, 6]), helper.make_node("Conv", ["x", "w"], ["y"])
    else:
        weights = np.repeat(flat.reshape(length, 1), 64, axis=1)
        shapes, node = ([1, length], [1, 64]), helper.make_node("MatMul", ["x", "w"], ["y"])
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, shape)
        for name, shape in zip("xy", shapes, strict=True)
    ]
    graph = helper.make_graph([node], kind, values[:1], values[1:], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model, _FIRST * _LARGE + (length - _FIRST) * _SMALL


def accumulation(results: Results) -> None:
    """Do an engine's FP16 convolutions and inner products add up in FP16 or in FP32?"""
    import inferkit

    sums: dict[str, Any] = {}
    for kind in ("conv", "inner product"):
        for length in LENGTHS:
            model, exact = long_sum(kind, length)
            path = folder("accumulation") / f"{kind.split()[0]}-{length}.onnx"
            onnx.save(model, path)
            network = inferkit.load(str(path))
            engine: Any = inferkit.build(network, backend="tensorrt", max_batch=1, static=True, cache=False)
            with engine.session() as session:
                shape = [dim or 1 for dim in network.inputs[0].shape]
                got = float(session.run(np.ones(shape, np.float16))["y"].astype(np.float64).flat[0])
            sums[f"{kind} of {length}"] = {"exact": exact, "got": got}
            kept = "FP32" if abs(got - exact) < abs(got - _FIRST * _LARGE) else "FP16"
            say(f"{kind} of {length} products: {got:g}, exactly {exact:g}: it adds up in {kept}")
    results.put("accumulation", sums)


def _fp32_engine(name: str, batch: int, strict: bool) -> dict[str, Any]:
    """Error against ONNX Runtime's FP32 scores, and the median wall time, of an engine for this batch alone."""
    if strict:
        keep_to("fp32")
    import inferkit

    images, scores = reference(name)
    network = inferkit.at_precision(scored(inferkit.load(name)), "fp32")
    engine: Any = inferkit.build(network, backend="tensorrt", max_batch=batch, static=True, cache=False)
    with engine.session() as session:
        session.load(images[:batch])
        session.execute()
        got = next(iter(session.fetch().values())).reshape(batch, -1)
        wall = median(session.execute().wall for _ in range(_RUNS))
    return {"error": relative_error(got, scores[:batch]), "wall": wall}


def strict(results: Results) -> None:
    """Is FP32 strict, with and without NVIDIA_TF32_OVERRIDE=0, and how long does it take?

    Every timed network and batch, each in a fresh process. Needs what `prepare` made.
    """
    jobs = [(name, batch, only) for only in (True, False) for name in TIMED for batch in BATCHES]
    figures = {}
    for (name, batch, only), answer in zip(jobs, side_by_side(_fp32_engine, jobs, 1), strict=True):
        way = "NVIDIA_TF32_OVERRIDE=0" if only else "as it is"
        figures[f"{name}-fp32-b{batch}, {way}"] = answer
        text = answer if isinstance(answer, str) else f"error {answer['error']:.1e}, {1e6 * answer['wall']:.0f} µs"
        say(f"  {name:10} batch {batch:3}  {way:23} {text}")
    results.put("strict", figures)
