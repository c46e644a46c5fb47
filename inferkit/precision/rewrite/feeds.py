"""Random inputs that a graph runs on, the same ones each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.running import run

# Sizes tried for dimensions that are open besides the batch: the first with which the graph runs is taken.
_OPEN_SIZES = (32, 64, 224, 7, 1)


def random_feeds(graph: Graph) -> dict[str, NDArray[Any]] | None:
    """Normal numbers, zeros and ones where an input is of integers, two rows where the batch is open.

    None where the graph runs with none of the sizes tried for its other open dimensions.
    """
    if not any(_open_besides_batch(value) for value in graph.inputs):
        return {value.name: _random(value, 1) for value in graph.inputs}
    for size in _OPEN_SIZES:
        feeds = {value.name: _random(value, size) for value in graph.inputs}
        try:
            run(graph, feeds)
            return feeds
        except Exception:  # ONNX Runtime's exceptions have no common class below Exception
            continue
    return None


def _open_besides_batch(value: onnx.ValueInfoProto) -> bool:
    return any(not dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim[1:])


def _random(value: onnx.ValueInfoProto, size: int) -> NDArray[Any]:
    dims = value.type.tensor_type.shape.dim
    shape = [dim.dim_value if dim.HasField("dim_value") else size if index else 2 for index, dim in enumerate(dims)]
    random = np.random.default_rng(list(value.name.encode()))
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    return np.asarray(random.standard_normal(shape) if dtype.kind == "f" else random.integers(0, 2, shape)).astype(
        dtype
    )
