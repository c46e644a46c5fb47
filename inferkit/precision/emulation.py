"""Half precision where there are no half kernels: FP32 arithmetic, every half tensor rounded to its type and back.

ONNX Runtime has no BF16 convolution on the CPU. Its accuracy can still be executed there: GPUs multiply half values
exactly, sum in FP32 and round the result, which is what FP32 arithmetic on rounded values, rounded again, computes (up
to the order of summation).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from inferkit.network.network import Network
from inferkit.precision.graph import Graph, ValueType, attribute

_HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def emulated(network: Network) -> Network:
    """A network of the same inputs, outputs and precision name whose operators are FP32.

    `network` is a half one (at_precision fp16 or bf16); inputs and outputs that are half stay so.
    """
    graph = Graph(network.model)
    types = graph.types()
    for name, tensor in list(graph.constants.items()):
        if tensor.data_type in _HALF:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            graph.constants[name] = onnx.numpy_helper.from_array(values, name)
    for value in graph.inputs:
        if value.type.tensor_type.elem_type in _HALF and graph.readers(value.name):
            widened = graph.fresh(f"{value.name}_fp32")
            graph.redirect(value.name, widened)
            graph.add_node("Cast", [value.name], [widened], widened, to=TensorProto.FLOAT)
    for node in list(graph.nodes):
        for index, name in enumerate(node.output):
            if name and _is_half(types, name):
                _round(graph, node, index, types[name].element)
    return network.with_model(graph.model())


def _is_half(types: dict[str, ValueType], name: str) -> bool:
    return name in types and types[name].element in _HALF


def _round(graph: Graph, node: onnx.NodeProto, index: int, element: int) -> None:
    """Let output `index` of `node` be computed in FP32, then rounded; readers see FP32, an output of the graph half."""
    name = node.output[index]
    is_output = name in graph.output_names
    rounded = name if is_output else graph.fresh(f"{name}_half")
    widened = graph.fresh(f"{name}_rounded")
    graph.redirect(name, widened)
    if node.op_type == "Cast" and attribute(node, "to") == element:
        node.output[index] = rounded
    else:
        exact = graph.fresh(f"{name}_exact")
        node.output[index] = exact
        graph.add_node("Cast", [exact], [rounded], f"{name}_rounding", to=element)
    graph.add_node("Cast", [rounded], [widened], widened, to=TensorProto.FLOAT)
