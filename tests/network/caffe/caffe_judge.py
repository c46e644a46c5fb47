"""Imports a small Caffe net and compares it with real PyCaffe, at the prototxt's batch and at another."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import inferkit
from inferkit.network.caffe.files.read import parse_prototxt
from inferkit.network.caffe.prototxt.upgrade import upgrade
from inferkit.network.network import Network
from tests.network.caffe.pycaffe_oracle import CaffeAborted, oracle

# How close an import must be: the largest difference, relative to the largest value of the output.
TOLERANCE = 1e-4
ABSOLUTE = 2e-7

Arrays = dict[str, NDArray[np.float32]]


@dataclass
class Verdict:
    """How an import compares with Caffe. `other_batch`: True compared, False Caffe aborts there, None not tried."""

    network: Network
    error: float = 0.0
    other_batch: bool | None = None
    outputs: Arrays = field(default_factory=dict)


def session(network: Network) -> onnxruntime.InferenceSession:
    """ONNX Runtime with its graph optimizations, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(network.model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(network: Network, feeds: Arrays) -> Arrays:
    """The outputs of the imported model by name."""
    names = [info.name for info in network.outputs]
    return dict(zip(names, session(network).run(names, feeds), strict=True))


def input_shapes(text: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the net's Input layers by blob."""
    net = parse_prototxt(text, "net")
    upgrade(net, "net")
    shapes = {}
    for layer in net.layer:
        if layer.type == "Input":
            stated_shapes = [tuple(shape.dim) for shape in layer.input_param.shape]
            for place, top in enumerate(layer.top):
                shapes[top] = stated_shapes[place % len(stated_shapes)]
    return shapes


def draw(shapes: dict[str, tuple[int, ...]], seed: int, ranges: dict[str, tuple[float, float]] | None = None) -> Arrays:
    """Normal numbers for each input; `ranges` gives others uniform numbers (whole ones between whole bounds)."""
    random = np.random.default_rng(seed)
    feeds: Arrays = {}
    for name, shape in shapes.items():
        low, high = (ranges or {}).get(name, (None, None))
        if low is None or high is None:
            feeds[name] = random.normal(0, 1, shape).astype(np.float32)
        elif isinstance(low, int) and isinstance(high, int):
            feeds[name] = random.integers(low, high, shape, endpoint=True).astype(np.float32)
        else:
            feeds[name] = random.uniform(low, high, shape).astype(np.float32)
    return feeds


def difference(ours: NDArray[np.float32], caffes: NDArray[np.float32]) -> float:
    """max |a - b| / max |b|; infinite for other shapes and for NaN or infinity in other places."""
    if ours.shape != caffes.shape:
        return float("inf")
    finite = np.isfinite(caffes)
    if not np.array_equal(finite, np.isfinite(ours)) or not np.array_equal(
        ours[~finite], caffes[~finite], equal_nan=True
    ):
        return float("inf")
    if not finite.any():
        return 0.0
    scale = float(np.abs(caffes[finite]).max())
    gap = float(np.abs(ours[finite].astype(np.float64) - caffes[finite]).max())
    # ONNX Runtime's Sigmoid has an absolute error of 1e-7, which is all of an output that is nearly 0 everywhere.
    return 0.0 if gap < ABSOLUTE else gap / scale if scale else gap


def judge(
    text: str,
    folder: Path,
    *,
    seed: int = 1,
    factor: float | None = None,
    ranges: dict[str, tuple[float, float]] | None = None,
    batch: int | None = None,
    weights: bool = True,
) -> Verdict:
    """Build `text` in PyCaffe with random parameters, import prototxt and caffemodel, and compare every output.

    `batch` is the other batch (default: the prototxt's and 2 more). Raises CaffeAborted where Caffe refuses the net,
    NetworkError where the import does.
    """
    prototxt, caffemodel = folder / "net.prototxt", folder / "net.caffemodel"
    prototxt.write_text(text, encoding="utf-8")
    shapes = input_shapes(text)
    feeds = [draw(shapes, seed, ranges)]
    options = {"seed": seed if weights else None, "factor": factor, "save": caffemodel}
    larger = {name: (batch or shape[0] + 2, *shape[1:]) if shape else shape for name, shape in shapes.items()}
    # Most nets run at both batches; one request is quicker than two.
    both = [*feeds, draw(_free(larger, shapes), seed + 1, ranges)]
    try:
        answer = oracle().run(prototxt, feeds=both, **options)
    except CaffeAborted:
        answer = oracle().run(prototxt, feeds=feeds, **options)
    network = inferkit.load(prototxt, caffemodel if weights else None)
    verdict = Verdict(network, compare(network, feeds[0], answer.results[0]), outputs=answer.results[0])
    if any(info.shape and info.shape[0] is None for info in network.inputs):
        verdict.other_batch = len(answer.results) == 2
        if verdict.other_batch:
            verdict.error = max(verdict.error, compare(network, both[1], answer.results[1]))
    return verdict


def _free(larger: dict[str, tuple[int, ...]], shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The shapes at the other batch: inputs whose first axis is that of the image take part."""
    first = next((shape for shape in shapes.values() if len(shape) == 4), max(shapes.values(), key=len))
    return {name: larger[name] if shape[:1] == first[:1] else shape for name, shape in shapes.items()}


def compare(network: Network, feeds: Arrays, expected: Arrays) -> float:
    """The largest difference of any output; every output of Caffe's must be one of ours (inputs it hands on aside)."""
    # A net whose output overwrites its input has two tensors of that name; the output is renamed.
    ours = {
        name.removesuffix("_out") if name.removesuffix("_out") in feeds else name: value
        for name, value in run(network, feeds).items()
    }
    wanted = {name: value for name, value in expected.items() if name in ours or name not in feeds}
    assert set(ours) == set(wanted), (sorted(ours), sorted(wanted))
    return max(difference(ours[name], value) for name, value in wanted.items())
