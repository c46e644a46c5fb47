"""Part `bytes`: float32 inputs, normalized on the host, against uint8 pixels that the engine subtracts and scales.

The two engines of one network, precision and batch have a fresh process; they are opened together and timed in turns,
so that what drifts falls on both alike. Of each: images per second of the study's region (copy in, execution, copy out,
one batch after the other), of overlapped batches and of executions alone, and its layers with their times; of both, how
far their outputs are apart for the same images. The results are written whenever a process has ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.gpu.common import Results, fail, in_fresh_process, relative_error, say, settle

PRECISIONS = ("int8", "fp16")
BATCHES = tuple(int(size) for size in os.environ.get("INFERKIT_SUITE_BATCHES", "64 8 128 256").split())
LEAST_RATE, LEAST_SHARE = 45_000.0, 0.97  # resnet50 INT8, batch 64: images/s with copies; share of executions alone
# Both engines are of one network at one precision. The inputs differ in their last bit, which moves some quantized
# values by one step, and another choice of kernels rounds in another order.
TOLERANCE = {"int8": 0.1, "fp16": 0.02}
_MEAN, _SCALE = (104.0, 117.0, 123.0), 0.5  # Caffe's means; a factor, so that there is one to multiply by
_CALIBRATION = 32  # images
_ROUNDS, _ROUND_SECONDS = 9, 0.1
_PROFILED = 20  # runs
_SHOWN = 4  # layers: what becomes of the pixels, and the first convolution
_SECONDS = 420  # for one process with two engines, whose first builds take a minute each


def child(case: str) -> dict[str, Any]:
    """`backend:network:precision:batch`: figures by the input's type, times in seconds per batch."""
    import inferkit
    from inferkit.backends import backend
    from inferkit.backends.uint8_input import Uint8Input, with_uint8_input
    from inferkit.measure.machine.lease import device_lease

    backend_name, name, precision, size = case.split(":")
    batch, builder = int(size), backend(backend_name)
    facts = builder.facts
    network = inferkit.load(name)
    pixels, images, mean = _images(network, max(batch, _CALIBRATION))
    calibration = {"calibration": [images[:_CALIBRATION]]} if precision in ("int8", "fp8") else {}
    rewritten = inferkit.at_precision(network, precision, **calibration)
    networks = {"float32": rewritten, "uint8": with_uint8_input(rewritten, Uint8Input(mean, _SCALE))}
    feeds: dict[str, NDArray[Any]] = {"float32": images[:batch], "uint8": pixels[:batch]}
    options = {"static": True} if "static" in facts.build_settings else {}
    figures: dict[str, dict[str, Any]] = {}
    with device_lease(builder.device(), timeout=60):
        engines = {}
        for dtype, each in networks.items():
            began = time.perf_counter()
            engines[dtype] = builder.build(each, batch, **options)
            comparison = getattr(engines[dtype].info, "comparison", None)
            figures[dtype] = {"build_seconds": time.perf_counter() - began, "comparison": comparison}
        outputs = _one_after_the_other(engines, feeds, figures)
        if "mode" in facts.session_settings:
            _overlapped(engines, feeds, figures)
    scores = [outputs[dtype].reshape(batch, -1) for dtype in ("uint8", "float32")]
    same = float((scores[0].argmax(1) == scores[1].argmax(1)).mean())
    return {"batch": batch, "inputs": figures, "error": relative_error(*scores), "same_class": same}


def _images(network: Any, count: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Pixels, the same normalized on the host, and the mean [C, 1, 1]."""
    from inferkit.measure.images import stand_in

    (info,) = network.inputs
    pixels = stand_in(replace(info, dtype="uint8"), count)
    means = _MEAN if pixels.shape[1] == len(_MEAN) else (float(pixels.mean()),)
    mean = np.asarray(means, np.float32).reshape(-1, 1, 1)
    return pixels, (pixels - mean) * np.float32(_SCALE), mean


def _one_after_the_other(
    engines: Mapping[str, Any], feeds: Mapping[str, NDArray[Any]], figures: dict[str, dict[str, Any]]
) -> dict[str, NDArray[Any]]:
    """The study's region; the outputs by the input's type. The batch lies in memory that is copied from directly."""
    with ExitStack() as stack:
        sessions = {dtype: stack.enter_context(engine.session()) for dtype, engine in engines.items()}
        for dtype, session in sessions.items():
            (info,) = session.inputs
            memory = session.host_memory(len(feeds[dtype])) or {info.name: np.empty_like(feeds[dtype])}
            np.copyto(memory[info.name], feeds[dtype], casting="no")
            session.load(memory)
            figures[dtype] |= {"type": info.dtype, "bytes": memory[info.name].nbytes}
        for session in sessions.values():
            settle(partial(_wall, session))
        traces: dict[str, list[Any]] = {dtype: [] for dtype in sessions}
        medians: dict[str, list[float]] = {dtype: [] for dtype in sessions}
        for _ in range(_ROUNDS):
            for dtype, session in sessions.items():
                round_: list[Any] = []
                until = time.perf_counter() + _ROUND_SECONDS
                while time.perf_counter() < until or len(round_) < 3:
                    round_.append(session.execute())
                traces[dtype] += round_
                medians[dtype].append(median(trace.wall for trace in round_))
        for dtype, session in sessions.items():
            parts = ("wall", "host_to_device", "compute", "device_to_host")
            figures[dtype] |= {part: median(getattr(trace, part) for trace in traces[dtype]) for part in parts}
            figures[dtype] |= {"wall_by_round": medians[dtype], "launch": getattr(session, "launch", None)}
        outputs = {dtype: next(iter(session.fetch().values())) for dtype, session in sessions.items()}
        for dtype, session in sessions.items():
            figures[dtype]["layers"] = [row.as_dict() for row in session.layer_times(_PROFILED)]
        return outputs


def _wall(session: Any) -> float:
    return float(session.execute().wall)


def _overlapped(
    engines: Mapping[str, Any], feeds: Mapping[str, NDArray[Any]], figures: dict[str, dict[str, Any]]
) -> None:
    """Throughput mode and executions alone, in turns."""
    with ExitStack() as stack:
        sessions = {dtype: stack.enter_context(each.session(mode="throughput")) for dtype, each in engines.items()}
        for dtype, session in sessions.items():
            session.load(feeds[dtype])
            settle(partial(_wall, session))
        rounds: dict[str, list[tuple[float, float]]] = {dtype: [] for dtype in sessions}
        for _ in range(_ROUNDS):
            for dtype, session in sessions.items():
                alone = session.execution_only(session.batches_per_round)
                rounds[dtype].append((alone, session.execute().wall))
        for dtype, pairs in rounds.items():
            figures[dtype] |= {
                "overlapped": median(wall for _, wall in pairs),
                "alone": median(alone for alone, _ in pairs),
                "share": median(alone / wall for alone, wall in pairs),
                "overlapped_by_round": [wall for _, wall in pairs],
                "batches_per_round": sessions[dtype].batches_per_round,
            }


def run(results: Results, backend_name: str, model: str) -> None:
    """Every precision and batch, the judged one first; a line for each input."""
    cases: dict[str, Any] = {}
    say(
        f"{model} on {backend_name}, images/s     copies included   overlapped   executions alone   share   copy in, µs"
    )
    for batch in BATCHES:
        for precision in PRECISIONS:
            case = f"{model}-{precision}-b{batch}"
            try:
                cases[case] = in_fresh_process("bytes", f"{backend_name}:{model}:{precision}:{batch}", _SECONDS)
            except RuntimeError as error:
                fail(f"bytes {case}: {error}")
                continue
            results.put("bytes", cases)
            _report(case, precision, cases[case])
    if backend_name == "tensorrt" and (judged := cases.get("resnet50-int8-b64")):
        _judge(judged)


def _report(case: str, precision: str, figures: dict[str, Any]) -> None:
    batch = figures["batch"]
    for dtype, each in figures["inputs"].items():
        rates = [batch / each[name] if name in each else float("nan") for name in ("wall", "overlapped", "alone")]
        say(
            f"  {case:22} {dtype:8} {rates[0]:14,.0f} {rates[1]:12,.0f} {rates[2]:18,.0f} "
            f"{each.get('share', float('nan')):7.1%} {each['host_to_device'] * 1e6:13.1f}"
        )
        first = [f"{row['name'][:40]} {row.get('us', float('nan')):.1f}" for row in each["layers"][:_SHOWN]]
        say(f"      first layers, µs: {'; '.join(first)}")
    floats, pixels = (figures["inputs"][dtype] for dtype in ("float32", "uint8"))
    say(
        f"  {case:22} outputs {figures['error']:.2e} apart, {figures['same_class']:.1%} the same class; copied in: "
        f"{floats['bytes']:,} and {pixels['bytes']:,} bytes"
    )
    if not figures["error"] <= TOLERANCE[precision]:
        fail(f"bytes {case}: the outputs are {figures['error']:.2e} apart (at most {TOLERANCE[precision]:g})")
    if pixels["type"] != "uint8" or 4 * pixels["bytes"] != floats["bytes"]:
        fail(f"bytes {case}: {pixels['bytes']} bytes of {pixels['type']} are copied in, of float32 {floats['bytes']}")


def _judge(figures: dict[str, Any]) -> None:
    pixels = figures["inputs"]["uint8"]
    rate = figures["batch"] / pixels["wall"]
    if not rate >= LEAST_RATE:
        fail(f"bytes: {rate:,.0f} images/s copies included (at least {LEAST_RATE:,.0f})")
    if not pixels["share"] >= LEAST_SHARE:
        fail(f"bytes: {pixels['share']:.1%} of the execution-only rate (at least {LEAST_SHARE:.0%})")
