"""A first look at a GPU machine: build a small network, run it in every mode, check its outputs, print what came out.

    python3 tools/gpu/smoke.py [--json FILE]

Takes under a minute. Each check prints one line, `ok` or `FAILED` with the reason; the exit code counts the failures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from inferkit.backends.base import Trace
from inferkit.backends.tensorrt import BACKEND
from inferkit.errors import InferkitError
from inferkit.measure.machine.gpu import GpuTelemetry
from inferkit.network.network import Network

_RESULTS: dict[str, Any] = {}


def smoke_network(precision: str = "fp32", size: int = 112) -> Network:
    """A few convolutions with random weights, deep enough that a kernel takes longer than its launch."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    half = precision == "fp16"
    dtype = np.float16 if half else np.float32
    random = np.random.default_rng(7)
    weights, nodes, last, channels = [], [], "data", 3
    if half:
        nodes.append(helper.make_node("Cast", ["data"], ["data_half"], name="cast_in", to=TensorProto.FLOAT16))
        last = "data_half"

    def constant(name: str, array: Any) -> str:
        weights.append(numpy_helper.from_array(array.astype(dtype), name))
        return name

    for index, width in enumerate((64, 64, 128, 128, 256)):
        kernel = random.normal(size=(width, channels, 3, 3)) * np.sqrt(2 / (9 * channels))
        inputs = [last, constant(f"w{index}", kernel), constant(f"b{index}", np.zeros(width))]
        nodes.append(helper.make_node("Conv", inputs, [f"c{index}"], name=f"conv{index}", pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"], name=f"relu{index}"))
        last, channels = f"r{index}", width
        if index % 2:
            nodes.append(
                helper.make_node(
                    "MaxPool", [last], [f"p{index}"], name=f"pool{index}", kernel_shape=[2, 2], strides=[2, 2]
                )
            )
            last = f"p{index}"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["mean"], name="mean"))
    nodes.append(helper.make_node("Flatten", ["mean"], ["flat"], name="flat"))
    classifier = [constant("wf", random.normal(size=(100, channels)) * 0.1), constant("bf", np.zeros(100))]
    nodes.append(helper.make_node("Gemm", ["flat", *classifier], ["score"], name="fc", transB=1))
    nodes.append(helper.make_node("Softmax", ["score"], ["prob_half" if half else "prob"], name="softmax", axis=1))
    if half:
        nodes.append(helper.make_node("Cast", ["prob_half"], ["prob"], name="cast_out", to=TensorProto.FLOAT))
    graph = helper.make_graph(
        nodes,
        "smoke",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info("prob", TensorProto.FLOAT, ["N", 100])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return Network.from_model(model, "smoke", precision=precision)


def reference(network: Network, images: Any) -> Any:
    """ONNX Runtime's outputs on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(network.model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["prob"], {"data": images})[0]


def step(name: str, work: Callable[[], Any]) -> bool:
    """Run one check, print its line, remember its figures."""
    start = time.perf_counter()
    try:
        figures = work()
    except Exception as error:
        print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
        if not isinstance(error, (InferkitError, AssertionError)):
            traceback.print_exc(file=sys.stdout)
        _RESULTS[name] = {"failed": f"{type(error).__name__}: {error}"}
        return False
    _RESULTS[name] = figures
    print(f"ok     {name} ({time.perf_counter() - start:.1f} s): {figures}", flush=True)
    return True


def check(holds: bool, otherwise: str) -> None:
    """AssertionError with its reason, also under -O."""
    if not holds:
        raise AssertionError(otherwise)


def expect_error(work: Callable[[], Any], *words: str) -> str:
    """The message of the InferkitError that `work` must raise, which must hold `words`."""
    try:
        work()
    except InferkitError as error:
        check(all(word in str(error) for word in words), f"{error} does not say {words}")
        return f"{type(error).__name__}: {error}"
    raise AssertionError("no error was raised")


def medians(traces: list[Trace]) -> dict[str, float]:
    """Medians in microseconds, and what of the wall time the parts leave."""
    rest = median(trace.wall - trace.host_to_device - trace.compute - trace.device_to_host for trace in traces)
    names = ("host_to_device", "compute", "device_to_host", "wall", "enqueue")
    figures = {name: round(median(getattr(trace, name) or 0 for trace in traces) * 1e6, 1) for name in names}
    return {**figures, "wall_minus_parts": round(rest * 1e6, 1)}


def closeness(got: Any, want: Any) -> float:
    error = float(np.linalg.norm(got.astype(np.float64) - want) / np.linalg.norm(want))
    check(bool(np.isfinite(got).all()), "the outputs hold NaN or infinity")
    return error


def run_latency(engine: Any, batch: int, launch: str, want: Any, images: Any) -> dict[str, Any]:
    with engine.session(launch=launch) as session:
        session.load(images[:batch])
        for _ in range(200):
            session.execute()
        traces = [session.execute() for _ in range(300)]
        error = closeness(session.fetch()["prob"], want[:batch])
        check(error < 1e-2, f"relative error {error}")
        return {"launch": session.launch, "note": session.launch_note, "error": error, "us": medians(traces)}


def run_throughput(engine: Any, batch: int, launch: str, want: Any, images: Any) -> dict[str, Any]:
    with engine.session(mode="throughput", launch=launch) as session:
        session.load(images[:batch])
        for _ in range(5):
            session.execute()
        alone = median(session.execution_only(session.batches_per_round) for _ in range(7))
        wall = median(session.execute().wall for _ in range(7))
        error = closeness(session.fetch()["prob"], want[:batch])
        check(error < 1e-2, f"relative error {error}")
        details = session.details()
        return {
            "launch": session.launch,
            "note": session.launch_note,
            "us_per_batch": round(wall * 1e6, 1),
            "us_execution_only": round(alone * 1e6, 1),
            "share": round(alone / wall, 4),
            "batches_per_round": session.batches_per_round,
            "details": {
                key: value for key, value in details.items() if key not in ("inspector", "layer_seconds", "gpu")
            },
        }


def run_stream(engine: Any, want: Any, images: Any) -> dict[str, Any]:
    """Distinct batches through the pipeline, the last one smaller: results in order and right."""
    with engine.session(mode="throughput") as session:
        batches = [images[start : start + 7] for start in range(0, len(images), 7)]
        got = np.concatenate([outputs["prob"] for outputs in session.stream(batches)])
        error = max(closeness(got[index : index + 1], want[index : index + 1]) for index in range(len(want)))
        check(error < 2e-2, f"largest relative error of an image {error}")
        return {"images": len(got), "largest_error": error}


def run_details(engine: Any, images: Any) -> dict[str, Any]:
    with engine.session() as session:
        session.load(images[:8])
        session.execute()
        details = session.details()
        layers = details["layer_seconds"]
        check(bool(layers), "the profiler saw no layer")
        check(bool(details["inspector"]), "the inspector said nothing")
        return {
            **{key: value for key, value in details.items() if key not in ("inspector", "layer_seconds")},
            "layers": len(layers),
            "layer_sum_us": round(sum(layers.values()) * 1e6, 1),
            "inspector": type(details["inspector"]).__name__,
            "memory_bytes": session.memory_bytes(),
        }


def run_errors(engine: Any, images: Any) -> list[str]:
    messages = []
    with engine.session() as session:
        messages.append(expect_error(lambda: session.load(images[:33]), "33"))
        messages.append(expect_error(lambda: session.load(images[:2, :1]), "shape"))
        messages.append(expect_error(lambda: session.load(images[:2].astype(np.float64)), "float64"))
        spoilt = images[:2].copy()
        spoilt[1, 2, 3, 4] = np.nan
        messages.append(expect_error(lambda: session.load(spoilt), "NaN"))
        messages.append(expect_error(session.execute, "load"))
        session.run(images[:2])
    messages.append(expect_error(session.execute, "closed"))
    messages.append(expect_error(lambda: engine.session(device=99), "99"))
    return messages


def run_out_of_memory(images: Any, want: Any) -> str:
    """A case that does not fit fails with the sizes, and the next one runs."""
    import inferkit
    from inferkit.backends.tensorrt.device import open_device
    from inferkit.backends.tensorrt.gpus import find_gpu

    engine = inferkit.build(smoke_network("fp16"), backend="tensorrt", max_batch=512)
    device = open_device(find_gpu())
    with device.active():
        ballast = device.allocate(device.free_bytes() - (700 << 20), "ballast")

    def run() -> None:
        with engine.session() as session:
            session.run(np.zeros((512, 3, 112, 112), np.float32))

    try:
        message = expect_error(run, "MiB")
    finally:
        with device.active():
            ballast.free()
    with engine.session() as session:
        error = closeness(session.run(images[:4])["prob"], want[:4])
        check(error < 1e-2, f"relative error {error} afterwards")
    return message


def run_foreign_target() -> str:
    import inferkit

    engine = inferkit.build(smoke_network("fp16"), backend="tensorrt", max_batch=4, target="sm89")
    return expect_error(lambda: engine.session(), "8.9")


def run_with_torch(engine: Any, images: Any, want: Any) -> dict[str, Any]:
    """PyTorch uses the GPU before, between and after."""
    import torch

    a = torch.randn(512, 512, device="cuda")
    with engine.session() as session:
        first = closeness(session.run(images[:4])["prob"], want[:4])
        b = a @ a
        second = closeness(session.run(images[4:8])["prob"], want[4:8])
        total = float((b @ a).sum())
    after = float(torch.ones(10, device="cuda").sum())
    check(after == 10 and bool(np.isfinite(total)), "PyTorch computes nonsense afterwards")
    check(max(first, second) < 1e-2, f"relative errors {first}, {second}")
    return {"errors": [first, second]}


def run_thread(engine: Any, images: Any, want: Any) -> dict[str, Any]:
    """A session opened in one thread and used in another that ends."""
    import threading

    found: list[Any] = []
    with engine.session() as session:

        def work() -> None:
            found.append(session.run(images[:4])["prob"])

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    error = closeness(found[0], want[:4])
    check(error < 1e-2, f"relative error {error}")
    return {"error": error}


def run_fresh_process() -> dict[str, Any]:
    """A second process finds engine and compiled kernels, and ends cleanly although it closes nothing."""
    done = subprocess.run([sys.executable, __file__, "--child"], capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-1500:]}")
    check("PyCUDA" not in done.stderr, done.stderr[-1500:])
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def child() -> None:
    import inferkit

    start = time.perf_counter()
    engine = inferkit.build(smoke_network("fp16"), backend="tensorrt", max_batch=32)
    session = engine.session()
    session.run(np.random.default_rng(1).normal(size=(8, 3, 112, 112)).astype(np.float32))
    seconds = time.perf_counter() - start
    executor = session._executor  # type: ignore[attr-defined]
    figures = {
        "engine_from_cache": engine.info.details["from_cache"],
        "jit": executor.jit,
        "first_run_s": executor.first_seconds,
    }
    print(json.dumps({**figures, "to_first_result_s": seconds}))


def nvml_cost(engine: Any, images: Any) -> dict[str, Any]:
    """What watching the GPU costs the measurement: medians and 99th percentiles with and without."""
    figures = {}
    with engine.session() as session:
        session.load(images[:1])
        for _ in range(500):
            session.execute()
        for name, interval in (("without", None), ("every_100ms", 0.1), ("every_20ms", 0.02), ("without_again", None)):
            watch = GpuTelemetry(session.device or 0).watch(interval) if interval else None
            if watch:
                watch.__enter__()
            walls = [session.execute().wall for _ in range(2000)]
            if watch:
                watch.__exit__(None, None, None)
            figures[name] = [round(float(np.percentile(walls, each)) * 1e6, 2) for each in (50, 99)]
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child()
        return 0
    import inferkit
    from inferkit.backends.tensorrt.gpus import visible_gpus

    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    random = np.random.default_rng(3)
    images = random.normal(size=(40, 3, 112, 112)).astype(np.float32)
    want = reference(smoke_network(), images)
    failures = 0
    engines: dict[str, Any] = {}

    def build(precision: str) -> dict[str, Any]:
        engines[precision] = inferkit.build(smoke_network(precision), backend="tensorrt", max_batch=32)
        info = engines[precision].info
        return {"seconds": info.build_seconds, "bytes": info.size_bytes, "from_cache": engines[precision].from_cache}

    def latency(precision: str, batch: int, launch: str) -> dict[str, Any]:
        return run_latency(engines[precision], batch, launch, want, images)

    steps: list[tuple[str, Callable[[], Any]]] = [
        ("gpus", lambda: [gpu.as_dict() for gpu in visible_gpus()]),
        ("availability", lambda: {name: str(BACKEND.availability(name)) for name in ("fp32", "int8")}),
        ("nvml", lambda: {"facts": GpuTelemetry(0).facts(), "reading": str(GpuTelemetry(0).read(own_context=False))}),
        ("build fp32", lambda: build("fp32")),
        ("build fp16", lambda: build("fp16")),
    ]
    for precision in ("fp32", "fp16"):
        for batch in (1, 8, 32):
            for launch in ("enqueue", "graph"):
                run = partial(latency, precision, batch, launch)
                steps.append((f"latency {precision} b{batch} {launch}", run))
    steps += [
        ("throughput fp16 b8 graph", lambda: run_throughput(engines["fp16"], 8, "graph", want, images)),
        ("throughput fp16 b32 graph", lambda: run_throughput(engines["fp16"], 32, "graph", want, images)),
        ("throughput fp16 b8 enqueue", lambda: run_throughput(engines["fp16"], 8, "enqueue", want, images)),
        ("stream", lambda: run_stream(engines["fp16"], want, images)),
        ("details", lambda: run_details(engines["fp16"], images)),
        ("errors", lambda: run_errors(engines["fp16"], images)),
        ("another target", run_foreign_target),
        ("another thread", lambda: run_thread(engines["fp16"], images, want)),
        ("fresh process", run_fresh_process),
        ("watching", lambda: nvml_cost(engines["fp16"], images)),
        ("with torch", lambda: run_with_torch(engines["fp16"], images, want)),
        ("out of memory", lambda: run_out_of_memory(images, want)),
    ]
    for name, work in steps:
        failures += not step(name, work)
    if arguments.json:
        arguments.json.write_text(json.dumps(_RESULTS, indent=1, default=str))
    print(f"{len(steps) - failures} of {len(steps)} passed", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(main())
