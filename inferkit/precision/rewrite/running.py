"""Runs parts of a graph in ONNX Runtime, each operator as it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from inferkit.network.as_written import session_as_written
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import subgraphs

# Constants above this size are fed: as part of the model they would be copied several times.
_FED = 4096
# Whose time is worth more than one thread.
_HEAVY = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Einsum", "GridSample"})


def declared(name: str, values: NDArray[Any]) -> onnx.ValueInfoProto:
    """An input for arrays of this type and rank."""
    element = helper.np_dtype_to_tensor_dtype(values.dtype)
    return helper.make_tensor_value_info(name, element, [None] * values.ndim)


def run_part(
    graph: Graph, nodes: list[onnx.NodeProto], feeds: Mapping[str, NDArray[Any]], outputs: list[str]
) -> dict[str, Any]:
    """What `nodes` of a graph compute from `feeds` and from its constants: the tensors `outputs` by name.

    An output that is no tensor comes back as a list or None. Raises what ONNX Runtime raises.
    """
    return run(graph.part(nodes, [declared(name, values) for name, values in feeds.items()], outputs), feeds)


def run(graph: Graph, feeds: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The outputs of a graph by name. Raises what ONNX Runtime raises."""
    fed = dict(feeds)
    model = graph.model(lambda tensor: not _is_fed(tensor))
    for name, tensor in graph.constants.items():
        if _is_fed(tensor):
            fed[name] = onnx.numpy_helper.to_array(tensor)
            model.graph.input.append(declared(name, fed[name]))
    threads = 0 if any(node.op_type in _HEAVY or subgraphs(node) for node in graph.nodes) else 1
    session = session_as_written(model, threads)
    return dict(zip(graph.output_names, session.run(graph.output_names, fed), strict=True))


def is_array(value: Any) -> bool:
    """Whether a result is a tensor: sequences come as lists, absent values as None."""
    return isinstance(value, np.ndarray | np.generic)


def _is_fed(tensor: onnx.TensorProto) -> bool:
    """Large, and of a type that numpy itself has."""
    kinds = (
        *(tensor.FLOAT, tensor.DOUBLE, tensor.FLOAT16, tensor.BOOL, tensor.INT8, tensor.INT16, tensor.INT32),
        *(tensor.INT64, tensor.UINT8, tensor.UINT16, tensor.UINT32, tensor.UINT64),
    )
    return tensor.data_type in kinds and int(np.prod(tensor.dims, dtype=np.int64)) > _FED
