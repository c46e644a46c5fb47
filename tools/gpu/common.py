"""What the parts share: networks, references, fresh processes, and the file of results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import InferkitError

NETWORKS = tuple(os.environ.get("INFERKIT_SUITE_NETWORKS", "lenet googlenet resnet50 vgg16").split())
PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
BATCHES = tuple(int(size) for size in os.environ.get("INFERKIT_SUITE_BATCHES", "1 8 64").split())
TIMED = tuple(name for name in NETWORKS if name not in ("lenet", "googlenet"))  # the large ones
LARGEST = max(64, *BATCHES)
# What an engine's scores may differ from ONNX Runtime's in FP32, relative to their norm. Scores are what goes into the
# last softmax, which would turn a difference of 0.1 in a score of 20 (0.5 %) into one of 10 % in a probability, more
# or less as the image happens to be clear or not. TF32 and FP16 keep 11 bits of the mantissa, BF16 keeps 8: four times
# as much is allowed for it.
TOLERANCE = {"fp32": 1e-3, "tf32": 1e-2, "fp16": 1e-2, "bf16": 4e-2}


def folder(*parts: str) -> Path:
    """Where the suite keeps plans, references and results of its parts ($INFERKIT_SUITE_DIR)."""
    path = Path(os.environ.get("INFERKIT_SUITE_DIR", "/tmp/inferkit-suite")).joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def plan_path(name: str, precision: str, batch: int) -> Path:
    """The engine whose outputs are the scores: for batches of 1 to 64, in FP32 for this batch alone.

    Strict FP32 of TensorRT-RTX 1.4 with an open batch ends in "cuDNN graph compilation failed".
    """
    return folder("plans") / f"{name}-{precision}{f'-b{batch}' if precision == 'fp32' else ''}.plan"


def timed_plan_path(name: str, batch: int) -> Path:
    """The FP16 engine that is timed: built for this batch alone, its output the network's own."""
    return folder("plans") / f"{name}-fp16-b{batch}.plan"


def scored(network: Any) -> Any:
    """The network whose output are its scores: what goes into the last softmax, if it ends in one."""
    from inferkit.cli.study_engine import with_output

    last = next(node for node in network.model.graph.node if node.output[0] == network.outputs[0].name)
    return with_output(network, str(last.input[0] if last.op_type == "Softmax" else last.output[0]))


def by_onnxruntime(network: Any, batches: Iterable[NDArray[Any]], threads: int = 0) -> NDArray[Any]:
    """The network's first output for all images, [N, values], on the CPU in FP32; 0 threads: as many as cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(network.model.SerializeToString(), options, ["CPUExecutionProvider"])
    output, name = network.outputs[0].name, network.inputs[0].name
    parts = [session.run([output], {name: images})[0].reshape(len(images), -1) for images in batches]
    return np.concatenate(parts)


def softmax(scores: NDArray[Any]) -> NDArray[Any]:
    grown = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def reference(name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Images [64, C, H, W] and ONNX Runtime's FP32 scores [64, classes] for them."""
    with np.load(folder("references") / f"{name}.npz") as stored:
        return stored["images"], stored["scores"]


def relative_error(got: NDArray[Any], want: NDArray[Any]) -> float:
    """‖got − want‖ / ‖want‖ in float64; NaN never passes a comparison."""
    return float(np.linalg.norm(got.astype(np.float64) - want.astype(np.float64)) / np.linalg.norm(want))


def keep_to(precision: str) -> None:
    """Called first in a fresh process: FP32 is strict in TensorRT-RTX 1.4 only with this in the environment."""
    if precision == "fp32":
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"


def side_by_side(work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], workers: int) -> list[Any]:
    """`work(*job)` for every job in fresh processes, `workers` at a time; an exception becomes its text."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = [pool.submit(work, *job) for job in jobs]
        results = []
        for future in futures:
            error = future.exception()
            results.append(f"{type(error).__name__}: {error}" if error else future.result())
    return results


def in_fresh_process(part: str, case: str, seconds: float, **environment: str) -> Any:
    """What the part's `child` gives for a case in a process of its own. RuntimeError where it fails or takes longer."""
    command = [sys.executable, "-m", "tools.gpu", "--child", part, case]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, env={**os.environ, **environment}
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"a process was not done after {seconds:g} s") from None
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-800:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def variation(values: Iterable[float]) -> float:
    """Coefficient of variation, in percent."""
    each = list(values)
    return 100 * stdev(each) / mean(each) if len(each) > 1 else float("nan")


def settle(run: Callable[[], float], least: float = 0.7, most: float = 3.0) -> None:
    """Call `run` until the medians of three windows of 50 ms agree within 0.5 %, for `least` to `most` seconds."""
    start = time.perf_counter()
    medians: list[float] = []
    while True:
        began = time.perf_counter()
        times: list[float] = []
        while len(times) < 3 or time.perf_counter() - began < 0.05:
            times.append(run())
        medians.append(median(times))
        passed = time.perf_counter() - start
        last = medians[-3:]
        if passed >= most or (passed >= least and len(last) == 3 and max(last) <= min(last) * 1.005):
            return


class Results:
    """One JSON file that grows part by part."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def put(self, name: str, figures: Any) -> None:
        self.parts[name] = figures
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.parts, indent=1, default=str))


def say(text: str) -> None:
    print(text, flush=True)


def fail(text: str) -> None:
    """A line that stands out; counted by the exit code."""
    FAILURES.append(text)
    say(f"FAILED {text}")


FAILURES: list[str] = []


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say how long it took; an error is a failure of this step and not the end of the others."""
    start = time.perf_counter()
    try:
        yield
    except Exception as error:
        fail(f"{name}: {type(error).__name__}: {error}")
        if not isinstance(error, (InferkitError, AssertionError)):
            traceback.print_exc(file=sys.stdout)
    say(f"[{name}: {time.perf_counter() - start:.1f} s]")
