"""Random inputs that a graph runs on, the same ones each time."""

from __future__ import annotations

from typing import Any

import onnx
from numpy.typing import NDArray

from inferkit.network.batch_axis import batch_axes
from inferkit.network.network import dims_of
from inferkit.network.random_inputs import random_values
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.running import run

# Sizes tried for dimensions that are open besides the batch: the first with which the graph runs is taken.
_OPEN_SIZES = (32, 64, 224, 7, 1)


def random_feeds(graph: Graph) -> dict[str, NDArray[Any]] | None:
    """Normal numbers, zeros and ones where an input is of integers, two rows where the batch is open.

    None where the graph runs with none of the sizes tried for its other open dimensions.
    """
    axes, _ = batch_axes([dims_of(value) for value in graph.inputs], [])
    inputs = list(zip(graph.inputs, axes, strict=True))
    if not any(_open_besides_batch(value, axis) for value, axis in inputs):
        return {value.name: _random(value, 1, axis) for value, axis in inputs}
    for size in _OPEN_SIZES:
        feeds = {value.name: _random(value, size, axis) for value, axis in inputs}
        try:
            run(graph, feeds)
            return feeds
        except Exception:  # ONNX Runtime's exceptions have no common class below Exception
            continue
    return None


def _open_besides_batch(value: onnx.ValueInfoProto, batch_axis: int | None) -> bool:
    return any(not isinstance(dim, int) for axis, dim in enumerate(dims_of(value)) if axis != batch_axis)


def _random(value: onnx.ValueInfoProto, size: int, batch_axis: int | None) -> NDArray[Any]:
    """Of 2 along an open batch, else of `size`."""
    dims = enumerate(dims_of(value))
    shape = [dim if isinstance(dim, int) else 2 if axis == batch_axis else size for axis, dim in dims]
    return random_values(value, shape)
