"""Collects ranges: runs the FP32 network batch by batch, and keeps only a histogram of each tensor."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import PrecisionError
from inferkit.network.as_written import reason_of
from inferkit.network.network import dims_of
from inferkit.precision.calibration.image_inputs import Feeds, ImageInputs
from inferkit.precision.calibration.ranges import Histogram, Ranges
from inferkit.precision.rewrite.graph import Graph

IMAGES = 500  # what NVIDIA suggests for ImageNet networks (TensorRT 5.1, sampleINT8)
_WATCHED_BYTES = 256 << 20  # activations held at a time: more tensors, or larger ones, make the batches smaller

_PIECE = 1 << 21  # values counted by one thread before it takes the next part


def collect(graph: Graph, tensors: Sequence[str], batches: Iterable[Feeds], *, threads: int = 0) -> Ranges:
    """Ranges of `tensors` over all `batches` (dicts of arrays by input name, axis 0 images); see Collector."""
    collector = Collector(graph, tensors, threads=threads)
    for batch in batches:
        collector.add(batch)
    return collector.ranges()


class Collector:
    """Runs an FP32 graph on the CPU and counts the values of `tensors`.

    Memory does not grow with the number of images: activations of a few images at a time are counted and dropped.
    `threads` are ONNX Runtime's, 0 for its own choice. PrecisionError for a tensor that the graph does not compute and
    for a graph that ONNX Runtime refuses.
    """

    def __init__(self, graph: Graph, tensors: Sequence[str], *, threads: int = 0) -> None:
        self._from_inputs = [name for name in tensors if name in graph.input_names]
        self._computed = [name for name in tensors if name not in graph.input_names]
        self._session = _session(graph.cut(self._computed), threads) if self._computed else None
        self._needed = {value.name for value in self._session.get_inputs()} if self._session else set()
        self._histograms = {name: Histogram.empty() for name in tensors}
        # Merging is exact in any order, so that how the work is shared out shows nowhere; numpy and OpenCV let go of
        # the interpreter while they count.
        self._pool = ThreadPoolExecutor(threads or _threads(), "inferkit-ranges")
        self._inputs = ImageInputs.of(graph)
        self._takes = {
            value.name: self._inputs.of_one(value.name, dims_of(value))
            for value in graph.inputs
            if value.type.tensor_type.HasField("shape")
        }
        self._images = 0
        self._bytes_per_image = 0

    def add(self, batch: Feeds) -> None:
        """Count one batch: arrays by input name, axis 0 images.

        PrecisionError for values that are not finite, naming tensor and images, and for a batch that does not fit.
        """
        self._check(batch)
        size = self._inputs.count(batch)
        start = 0
        while start < size:
            step = self._inputs.fixed or self._step(size - start)
            self._count(self._inputs.part(batch, start, start + step))
            start += step

    def _check(self, batch: Feeds) -> None:
        for name, values in batch.items():
            expected, shape = self._takes.get(name), self._inputs.of_one(name, values.shape)
            if expected is not None and (
                len(expected) != len(shape)
                or any(isinstance(e, int) and e != s for e, s in zip(expected, shape, strict=True))
            ):
                shown = " x ".join(str(size or "?") for size in expected)
                gray = len(expected) == 3 and expected[0] == 1 and shape[0] == 3
                raise PrecisionError(
                    f"calibration: input {name!r} takes {shown} for each image, but got "
                    f"{' x '.join(map(str, shape))}; apply the network's preprocessing "
                    f"({'gray (--gray), ' if gray else ''}resize, crop) to the images"
                )

    def _step(self, remaining: int) -> int:
        """How many of the `remaining` images run at a time: one to measure their size, then parts of one size."""
        if not self._bytes_per_image:
            return 1
        parts = -(-remaining // max(1, _WATCHED_BYTES // self._bytes_per_image))
        return -(-remaining // parts)

    def ranges(self) -> Ranges:
        """What was counted so far. PrecisionError where there was no image at all."""
        if self._images == 0:
            raise PrecisionError("calibration: there are no images")
        return Ranges(dict(self._histograms), self._images)

    def _count(self, batch: Feeds) -> None:
        size = self._inputs.count(batch)
        tensors = {name: batch[name] for name in self._from_inputs} | self._run_whole(batch, size)
        self._bytes_per_image = max(1, sum(values.nbytes for values in tensors.values()) // size)
        counted = {name: self._pool.map(Histogram.of, _pieces(values)) for name, values in tensors.items()}
        for name, parts in counted.items():
            try:
                self._histograms[name] = reduce(Histogram.merged, parts, self._histograms[name])
            except PrecisionError as error:
                images = f"images {self._images} to {self._images + size - 1}"
                raise PrecisionError(f"calibration: tensor {name!r}, {images}: {error}") from error
        self._images += size

    def _run_whole(self, batch: Feeds, size: int) -> dict[str, NDArray[Any]]:
        """Run a batch of `size` images, padded where the network takes more; results of the padding are dropped."""
        wanted = self._inputs.fixed or size
        if size == wanted:
            return self._run(batch)
        tensors = self._run(self._inputs.filled(batch, wanted - size))
        if any(self._inputs.axes.values()):
            return tensors  # where the images of a tensor lie is not known; the last one counts more than once
        # Rows of a tensor are images, or as many of each (positions): those of the first images come first.
        for name, values in tensors.items():
            if values.ndim and values.shape[0] % wanted == 0:
                tensors[name] = values[: values.shape[0] * size // wanted]
        return tensors

    def _run(self, batch: Feeds) -> dict[str, NDArray[Any]]:
        if self._session is None:
            return {}
        feeds = {name: values for name, values in batch.items() if name in self._needed}
        try:
            return dict(zip(self._computed, self._session.run(self._computed, feeds), strict=True))
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise PrecisionError(f"calibration: ONNX Runtime cannot run the network: {reason_of(error)}") from error


def _threads() -> int:
    """CPUs that this process may use, at most 8: counting is soon limited by the memory's speed."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(8, len(affinity(0)) if affinity else os.cpu_count() or 1)


def _pieces(values: NDArray[Any]) -> list[NDArray[Any]]:
    """An array in parts that are worth a thread's while."""
    flat = np.asarray(values).reshape(-1)
    return np.array_split(flat, max(1, flat.size // _PIECE))


def _session(graph: Graph, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # errors come back as exceptions
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other threads count between the runs
    try:
        return onnxruntime.InferenceSession(
            graph.model().SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise PrecisionError(f"calibration: ONNX Runtime cannot load the network: {reason_of(error)}") from error


def as_feeds(batch: Any, types: Mapping[str, np.dtype[Any]]) -> dict[str, NDArray[Any]]:
    """One batch in any accepted form (array, dict of arrays, object with `.images`) as a dict by input name.

    `types` are the inputs' own. Numbers of any floating type become an input's, and uint8 images where it is floating,
    as a session converts them. PrecisionError for any other type, and for missing or unknown inputs.
    """
    values = getattr(batch, "images", batch)
    count = getattr(batch, "count", None)
    if isinstance(count, int):
        values = values[:count]  # a dataset's padded last batch repeats its last image
    if not isinstance(values, Mapping):
        if len(types) != 1:
            raise PrecisionError(
                f"calibration: the network has the inputs {', '.join(types)}; give each batch as a dict by input name"
            )
        values = {next(iter(types)): values}
    if set(values) != set(types):
        raise PrecisionError(
            f"calibration: a batch has {', '.join(map(str, values))}, but the network's inputs are {', '.join(types)}"
        )
    return {name: _of_type(np.asarray(value), types[name], name) for name, value in values.items()}


def _of_type(values: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    if values.dtype == dtype:
        return values
    if dtype.kind == "f" and (values.dtype.kind == "f" or values.dtype == np.uint8):
        return values.astype(dtype)
    raise PrecisionError(
        f"calibration: input {name!r} takes {dtype}, got {values.dtype}; convert it with .astype({dtype.name!r})"
    )
