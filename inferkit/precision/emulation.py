"""Emulates precisions that a CPU has no kernels for: FP32 arithmetic, every value rounded to its type and back.

ONNX Runtime has no BF16 and no FP8 convolution on the CPU, and its fusions mistake FP8 Q/DQ pairs for INT8 ones. Their
accuracy can still be executed there: GPUs multiply such values exactly, sum in FP32 and round the result, which is what
FP32 arithmetic on rounded values, rounded again, computes (up to the order of summation).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from inferkit.network.network import Network
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import attribute, set_attribute
from inferkit.precision.rewrite.value_types import ValueType

_HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_E4M3_LARGEST = 448.0


def emulated(network: Network) -> Network:
    """A network of the same inputs, outputs and precision name whose operators are FP32.

    `network` is of fp16, bf16 or fp8 (others come back as they are); inputs and outputs that are half stay so.
    """
    if network.precision not in ("fp16", "bf16", "fp8"):
        return network
    graph = Graph(network.model)
    emulate(graph, network.precision)
    graph.prune()
    return network.with_model(graph.model())


def emulate(graph: Graph, precision: str, types: Mapping[str, ValueType] | None = None) -> None:
    """Rewrite a graph of fp16, bf16 or fp8 in place, so that its operators are FP32; others stay as they are.

    `types`: those of its tensors where they are known; else they are inferred.
    """
    if precision == "fp8":
        _unquantized(graph)
    elif precision in ("fp16", "bf16"):
        _widened(graph, graph.types() if types is None else types)


def unrounded(network: Network) -> Network:
    """A network whose operators are FP32 and whose values are not rounded: what is left of its precision are weights.

    `network` is of fp16, bf16, int8 or fp8; outputs that are half become float32.
    """
    graph = Graph(network.model)
    for node in list(graph.nodes):
        if node.op_type == "QuantizeLinear" and node.input[0] not in graph.constants:
            for reader in graph.readers(node.output[0]):
                if reader.op_type == "DequantizeLinear":
                    graph.redirect(reader.output[0], node.input[0])
    graph.prune()
    emulate(graph, network.precision)
    for node in graph.nodes:
        if node.op_type == "Cast" and attribute(node, "to") in _HALF:
            set_attribute(node, "to", TensorProto.FLOAT)
    for value in graph.outputs:
        if value.type.tensor_type.elem_type in _HALF:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return network.with_model(graph.model())


def _widened(graph: Graph, types: Mapping[str, ValueType]) -> None:
    """Let a half graph compute in FP32, each result rounded to half."""
    for name, tensor in list(graph.constants.items()):
        if tensor.data_type in _HALF:
            graph.constants[name] = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), name)
    for value in graph.inputs:
        if value.type.tensor_type.elem_type in _HALF and graph.readers(value.name):
            widened = graph.fresh(f"{value.name}_fp32")
            graph.redirect(value.name, widened)
            graph.add_node("Cast", [value.name], [widened], widened, to=TensorProto.FLOAT)
    for node in list(graph.nodes):
        for index, name in enumerate(node.output):
            if name and _is_half(types, name):
                _round(graph, node, index, types[name].element)


def _is_half(types: Mapping[str, ValueType], name: str) -> bool:
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


def _unquantized(graph: Graph) -> None:
    """Write FP8 Q/DQ pairs as what they compute: divide, saturate, round, multiply. Weights become FP32 constants."""
    for node in list(graph.nodes):
        if node.op_type == "DequantizeLinear":
            scale = graph.array(node.input[1])
            assert scale is not None
            codes = graph.array(node.input[0])
            if codes is not None:
                values = codes.astype(np.float32) * _along(scale, attribute(node, "axis", 1), codes.ndim)
                graph.redirect(node.output[0], graph.add_constant(f"{node.output[0]}_value", values))
                graph.remove(node)
            else:
                wide = graph.fresh(f"{node.output[0]}_codes")
                graph.add_node("Cast", [node.input[0]], [wide], wide, to=TensorProto.FLOAT)
                _replace(graph, node, "Mul", [wide, node.input[1]])
        elif node.op_type == "QuantizeLinear":
            limits = [graph.add_constant("fp8_limit", np.array(v, np.float32)) for v in (-_E4M3_LARGEST, _E4M3_LARGEST)]
            divided, limited = (graph.fresh(f"{node.output[0]}_{step}") for step in ("divided", "limited"))
            graph.add_node("Div", list(node.input[:2]), [divided], divided)
            graph.add_node("Clip", [divided, *limits], [limited], limited)
            _replace(graph, node, "Cast", [limited], to=TensorProto.FLOAT8E4M3FN)


def _replace(graph: Graph, node: onnx.NodeProto, op_type: str, inputs: list[str], **attributes: int) -> None:
    graph.remove(node)
    graph.add_node(op_type, inputs, [node.output[0]], node.name, **attributes)


def _along(scale: NDArray[np.float32], axis: int, rank: int) -> NDArray[np.float32]:
    """A scale per channel, shaped to broadcast along `axis` of a tensor of `rank` axes; a scalar as it is."""
    if scale.ndim == 0:
        return scale
    shape = [1] * rank
    shape[axis] = -1
    return scale.reshape(shape)
