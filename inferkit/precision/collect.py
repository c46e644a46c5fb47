"""Collecting ranges: the FP32 network runs batch by batch, and only histograms remain of what flowed through it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from inferkit.errors import PrecisionError
from inferkit.precision.graph import Graph
from inferkit.precision.ranges import Histogram, Ranges

IMAGES = 500  # what NVIDIA suggests for ImageNet networks (TensorRT 5.1, sampleINT8)
_WATCHED_BYTES = 256 << 20  # activations held at a time: more tensors, or larger ones, make the batches smaller

Feeds = Mapping[str, NDArray[Any]]


def collect(graph: Graph, tensors: Sequence[str], batches: Iterable[Feeds], *, threads: int = 0) -> Ranges:
    """Ranges of `tensors` over all `batches` (dicts of arrays by input name, axis 0 images).

    Memory does not grow with the number of images: activations of a few images at a time are counted and dropped.
    `threads` are ONNX Runtime's, 0 for its own choice. PrecisionError for values that are not finite (with the tensor
    and the image), for batches that do not fit the network, and where there is no image at all.
    """
    runner = _Runner(graph, tensors, threads)
    histograms = {name: Histogram.empty() for name in tensors}
    seen = 0
    for batch in batches:
        size = _batch_size(batch)
        for part in _parts(batch, runner.step(batch)):
            for name, values in runner.run(part).items():
                try:
                    histograms[name] = histograms[name].merged(Histogram.of(values))
                except PrecisionError as error:
                    place = f"images {seen} to {seen + size - 1}"
                    raise PrecisionError(f"calibration: tensor {name!r}, {place}: {error}") from error
        seen += size
    if seen == 0:
        raise PrecisionError("calibration: there is no image to calibrate with")
    return Ranges(histograms, seen)


class _Runner:
    """An ONNX Runtime session whose outputs are the watched tensors."""

    def __init__(self, graph: Graph, tensors: Sequence[str], threads: int) -> None:
        import onnxruntime

        self._from_inputs = [name for name in tensors if name in graph.input_names]
        self._computed = [name for name in tensors if name not in graph.input_names]
        self._types = graph.types()
        self._per_image = 0
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = None
        if self._computed:
            model = watching(graph, self._computed)
            try:
                self._session = onnxruntime.InferenceSession(
                    model.SerializeToString(), options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:  # ONNX Runtime's exceptions have no common base
                raise PrecisionError(f"calibration: ONNX Runtime cannot load the network: {error}") from error

    def step(self, batch: Feeds) -> int:
        """How many images to run at a time: all of the batch, or as many as the watched tensors' memory allows."""
        size = _batch_size(batch)
        if self._per_image == 0 and self._computed and size > 1:
            self._per_image = sum(values.nbytes for values in self.run(_slice(batch, 0, 1)).values())
        return max(1, min(size, _WATCHED_BYTES // max(1, self._per_image)))

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        found = {name: feeds[name] for name in self._from_inputs}
        if self._session is not None:
            try:
                values = self._session.run(self._computed, dict(feeds))
            except Exception as error:
                raise PrecisionError(f"calibration: ONNX Runtime cannot run the network: {error}") from error
            found.update(zip(self._computed, values, strict=True))
        return found


def watching(graph: Graph, tensors: Sequence[str]) -> onnx.ModelProto:
    """The graph as a model whose outputs are `tensors` and nothing else."""
    model = graph.model()
    del model.graph.output[:]
    types = graph.types()
    for name in tensors:
        if graph.producer(name) is None:
            raise PrecisionError(f"calibration: the network computes no tensor {name!r}")
        known = types.get(name)
        element = known.element if known and known.element else onnx.TensorProto.FLOAT
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, element, None))
    needed = Graph(model)
    needed.prune()
    return needed.model()


def _batch_size(batch: Feeds) -> int:
    return min(values.shape[0] for values in batch.values())


def _slice(batch: Feeds, start: int, stop: int) -> Feeds:
    return {name: values[start:stop] for name, values in batch.items()}


def _parts(batch: Feeds, step: int) -> Iterator[Feeds]:
    for start in range(0, _batch_size(batch), step):
        yield _slice(batch, start, start + step)


def as_feeds(batch: Any, inputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """One batch in any accepted form (array, dict of arrays, object with `.images`) as a dict by input name."""
    values = getattr(batch, "images", batch)
    count = getattr(batch, "count", None)
    if isinstance(count, int):
        values = values[:count]  # a dataset's padded last batch repeats its last image
    if not isinstance(values, Mapping):
        if len(inputs) != 1:
            raise PrecisionError(
                f"calibration: the network has the inputs {', '.join(inputs)}; give each batch as a dict by name"
            )
        values = {inputs[0]: values}
    if set(values) != set(inputs):
        raise PrecisionError(
            f"calibration: a batch holds {', '.join(map(str, values))}, the network's inputs are {', '.join(inputs)}"
        )
    feeds = {name: np.asarray(value) for name, value in values.items()}
    return {name: v.astype(np.float32) if v.dtype.kind == "f" else v for name, v in feeds.items()}
