"""Part `implicit`: INT8 and FP16 engines beside those that TensorRT 10 quantizes implicitly, layer by layer.

Implicit quantization (dynamic ranges instead of Q/DQ pairs; TensorRT 11 has it no longer) is an anchor for the speed
alone: its ranges are the same for all tensors, and its outputs mean nothing. Executions only, by CUDA events, without
copies; buffers and streams are PyTorch's. Each network has a process of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.gpu.common import BATCHES, TIMED, Results, fail, folder, in_fresh_process, say

_IN_A_ROW, _ROUNDS, _PROFILED = 20, 15, 20
_SECONDS = 550  # for one network; the first builds take a minute each, later ones find their timings cached
_RANGE = (-4.0, 4.0)


def child(name: str) -> dict[str, Any]:
    """All variants and batches of one network: µs per batch, build seconds, layers with kernels and formats."""
    import inferkit
    from inferkit.measure.images import stand_in

    network = inferkit.load(name)
    images = stand_in(network.inputs[0], max(BATCHES))
    calibration = [images[:16], images[16:32]] if len(images) >= 32 else [images]
    half = inferkit.at_precision(network, "fp16")
    quantized = inferkit.at_precision(network, "int8", calibration=calibration)
    cases: dict[str, Any] = {}
    for batch in BATCHES:
        for variant, model in (("fp16", half.model), ("int8", quantized.model), ("implicit", network.model)):
            try:
                cases[f"{name}-b{batch}-{variant}"] = _measured(model, images[:batch], variant == "implicit")
            except Exception as error:
                cases[f"{name}-b{batch}-{variant}"] = {"failed": f"{type(error).__name__}: {error}"[:600]}
    return cases


def _measured(model: Any, images: NDArray[Any], implicit: bool) -> dict[str, Any]:
    import time

    start = time.perf_counter()
    plan = _plan(model, len(images), implicit)
    return {"build_seconds": time.perf_counter() - start, **_timed(plan, images)}


def _plan(model: Any, batch: int, implicit: bool) -> bytes:
    """An engine for this batch alone. RuntimeError where TensorRT parses or builds nothing."""
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0 if implicit else 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    content = model.SerializeToString()
    if not parser.parse(content):
        raise RuntimeError("; ".join(parser.get_error(index).desc() for index in range(parser.num_errors)))
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)
    if implicit:
        for flag in ("INT8", "FP16"):
            config.set_flag(getattr(trt.BuilderFlag, flag))
        layers = [network.get_layer(index) for index in range(network.num_layers)]
        tensors = [layer.get_output(index) for layer in layers for index in range(layer.num_outputs)]
        for tensor in (network.get_input(0), *tensors):
            if tensor.dtype in (trt.float32, trt.float16):
                tensor.dynamic_range = _RANGE
    data = network.get_input(0)
    if data.shape[0] < 0:
        shape = (batch, *data.shape[1:])
        profile = builder.create_optimization_profile()
        profile.set_shape(data.name, shape, shape, shape)
        config.add_optimization_profile(profile)
    kept = _timings()
    cache = config.create_timing_cache(kept.read_bytes() if kept.exists() else b"")
    config.set_timing_cache(cache, False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError("TensorRT built nothing")
    kept.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _timings() -> Path:
    return folder() / "implicit.timings"


def _timed(plan: bytes, images: NDArray[Any]) -> dict[str, Any]:
    import tensorrt as trt
    import torch

    engine = trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(plan)
    context = engine.create_execution_context()
    source, result = (engine.get_tensor_name(index) for index in range(2))
    held = torch.from_numpy(np.ascontiguousarray(images)).cuda()
    context.set_input_shape(source, tuple(images.shape))
    output = torch.empty(tuple(context.get_tensor_shape(result)), device="cuda")
    for name, tensor in ((source, held), (result, output)):
        context.set_tensor_address(name, tensor.data_ptr())
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            context.execute_async_v3(stream.cuda_stream)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            context.execute_async_v3(stream.cuda_stream)
        rounds = [_round(graph, stream) for _ in range(2 * _ROUNDS)][_ROUNDS:]
        layers = _layers(context, stream)
    inspector = engine.create_engine_inspector()
    inspector.execution_context = context
    rows = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))["Layers"]
    kernels = {row["Name"]: row.get("TacticName", "") for row in rows if isinstance(row, dict)}
    spread = (max(rounds) - min(rounds)) / median(rounds)
    return {"us": median(rounds), "spread": spread, "layers": layers, "kernels": kernels}


def _round(graph: Any, stream: Any) -> float:
    import torch

    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record(stream)
    for _ in range(_IN_A_ROW):
        graph.replay()
    end.record(stream)
    stream.synchronize()
    return float(begin.elapsed_time(end)) / _IN_A_ROW * 1e3


def _layers(context: Any, stream: Any) -> dict[str, float]:
    """Microseconds of each layer, as TensorRT's profiler has them: more than in a graph, by the launches."""
    from inferkit.backends.tensorrt.flavour import load_flavour

    times: dict[str, float] = {}
    profiler = load_flavour().make_profiler(times)
    context.profiler = profiler
    for _ in range(_PROFILED):
        context.execute_async_v3(stream.cuda_stream)
        stream.synchronize()
    return {name: 1e3 * total / _PROFILED for name, total in times.items()}


def run(results: Results) -> None:
    """Every timed network in a process of its own; one line a batch."""
    cases: dict[str, Any] = {}
    for name in TIMED:
        try:
            cases |= in_fresh_process("implicit", name, _SECONDS)
        except RuntimeError as error:
            fail(f"implicit {name}: {error}")
            continue
        results.put("implicit", cases)
        for batch in BATCHES:
            of = {variant: cases[f"{name}-b{batch}-{variant}"].get("us") for variant in ("fp16", "int8", "implicit")}
            if None in of.values():
                fail(f"implicit {name} b{batch}: {of}")
                continue
            say(
                f"  {name:12} batch {batch:3}  fp16 {of['fp16']:8.1f}  int8 {of['int8']:8.1f}  implicit "
                f"{of['implicit']:8.1f} µs  ({of['implicit'] / of['int8']:.3f} of implicit, "
                f"{of['fp16'] / of['int8']:.2f} times fp16)"
            )
