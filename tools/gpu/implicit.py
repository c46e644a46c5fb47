"""Part `implicit`: INT8 and FP16 engines beside those that TensorRT 10 quantizes implicitly, layer by layer.

Implicit quantization (dynamic ranges instead of Q/DQ pairs; TensorRT 11 has it no longer) is an anchor for the speed
alone: its ranges are the same for all tensors, and its outputs mean nothing. Executions only, by CUDA events, without
copies; buffers and streams are PyTorch's. Each engine has a process of its own, each network one GPU.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tools.gpu.common import BATCHES, Results, fail, folder, in_fresh_process, say, side_by_side

ANCHORED = tuple(os.environ.get("INFERKIT_SUITE_NETWORKS", "resnet50 vgg16 mobilenet_v2 googlenet").split())
VARIANTS = ("int8", "fp16", "implicit")
_IN_A_ROW, _ROUNDS, _PROFILED = 20, 15, 20
_SECONDS = 400  # for one engine; the first build of a network takes a minute or two, later ones find timings cached
_RANGE = (-4.0, 4.0)


def prepare(name: str) -> str:
    """Write the network's model of every variant, and images for the largest batch."""
    import inferkit
    from inferkit.measure.images import stand_in

    network = inferkit.load(name)
    images = stand_in(network.inputs[0], max(BATCHES))
    np.save(_kept(name, "images.npy"), images)
    calibration = [images[:16], images[16:32]] if len(images) >= 32 else [images]
    onnx.save(network.model, _kept(name, "implicit.onnx"))
    onnx.save(inferkit.at_precision(network, "fp16").model, _kept(name, "fp16.onnx"))
    onnx.save(inferkit.at_precision(network, "int8", calibration=calibration).model, _kept(name, "int8.onnx"))
    return name


def _kept(name: str, file: str) -> Path:
    return folder("implicit") / f"{name}-{file}"


def child(case: str) -> dict[str, Any]:
    """One engine, `NETWORK BATCH VARIANT`: µs, build seconds, layers with kernels."""
    name, batch, variant = case.split()
    images = np.load(_kept(name, "images.npy"))[: int(batch)]
    return _measured(onnx.load(_kept(name, f"{variant}.onnx")), images, variant == "implicit")


def _measured(model: Any, images: NDArray[Any], implicit: bool) -> dict[str, Any]:
    start = time.perf_counter()
    plan = _plan(model, len(images), implicit)
    return {"build_seconds": time.perf_counter() - start, **_timed(plan, images)}


def _plan(model: Any, batch: int, implicit: bool) -> bytes:
    """An engine for this batch alone. RuntimeError where TensorRT parses or builds nothing."""
    import tensorrt as trt

    from inferkit.backends.gpus import find_gpu
    from inferkit.backends.tensorrt.blobs import BlobCache, timing_cache
    from inferkit.backends.tensorrt.flavour import load_flavour

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
    flavour = load_flavour()
    kept = BlobCache(folder() / "implicit.timings") if implicit else timing_cache(flavour, find_gpu(0).as_dict())
    flavour.attach_timing(config, kept.read())
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError("TensorRT built nothing")
    kept.update(lambda stored: flavour.merged_timing(config, stored))
    return bytes(plan)


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
    described = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    rows = json.loads(described)["Layers"]
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


def run(results: Results, variants: Sequence[str] = VARIANTS) -> None:
    """Every network on a GPU of its own, as far as there are so many; a line for each batch."""
    from inferkit.backends.gpus import visible_gpus

    ready = [name for name in side_by_side(prepare, [(name,) for name in ANCHORED], 4) if name in ANCHORED]
    for name in set(ANCHORED) - set(ready):
        fail(f"implicit {name}: its models could not be made")
    cases: dict[str, Any] = {}

    def of_gpu(gpu: int, names: Sequence[str]) -> None:
        for batch in sorted(BATCHES, reverse=True):
            for name in names:
                for variant in variants:
                    case = f"{name}-b{batch}-{variant}"
                    try:
                        cases[case] = in_fresh_process(
                            "implicit", f"{name} {batch} {variant}", _SECONDS, CUDA_VISIBLE_DEVICES=str(gpu)
                        )
                    except RuntimeError as error:
                        fail(f"{case}: {error}")
                        cases[case] = {"failed": str(error)}
                    results.put("implicit", dict(cases))
                _say(name, batch, cases)

    count = max(len(visible_gpus()), 1)
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(of_gpu, gpu, ready[gpu::count]) for gpu in range(count)]:
            done.result()


def _say(name: str, batch: int, cases: dict[str, Any]) -> None:
    taken = {variant: cases.get(f"{name}-b{batch}-{variant}", {}).get("us") for variant in VARIANTS}
    times = "  ".join(f"{variant} {us:8.1f}" for variant, us in taken.items() if us)
    text = f"  {name:12} batch {batch:3}  {times} µs"
    if taken["int8"] and taken["implicit"]:
        text += f"  ({taken['implicit'] / taken['int8']:.3f} of implicit)"
    if taken["int8"] and taken["fp16"]:
        text += f"  ({taken['fp16'] / taken['int8']:.2f} times fp16)"
    say(text)
