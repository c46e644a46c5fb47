"""FP32 islands: finds the nodes of a half-precision graph that must stay in FP32, with the reason.

FP16 reaches 65504, so squares overflow from 256 on, and exponentials from 11. Such an operator keeps FP32 together with
what lies between it and the next one (the sum, the root and the division of a normalization), since its intermediate
result is just what half precision cannot hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from inferkit.errors import PrecisionError
from inferkit.network.random_inputs import DRAWING
from inferkit.precision.counting import counting_nodes
from inferkit.precision.halves import Half, Loss, loss
from inferkit.precision.rewrite.fold import LINEAR
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import subgraphs
from inferkit.precision.rewrite.value_types import NO_TENSOR, ValueType

# Squares, exponentials, powers, and sums over many values: their results leave half precision's range. An angle of many
# turns loses its place in the last one when it is rounded.
_OVERFLOWING = frozenset(
    {
        *("LRN", "Softmax", "LogSoftmax", "Exp", "Log", "Pow", "Softplus", "CumSum", "LpNormalization", "LpPool"),
        *("GlobalLpPool", "ReduceSum", "ReduceSumSquare", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceProd"),
        *("ReduceLogSum", "ReduceLogSumExp", "MeanVarianceNormalization", "InstanceNormalization"),
        *("LayerNormalization", "GroupNormalization", "BatchNormalization", "RMSNormalization", "Sin", "Cos", "Tan"),
    }
)
# The type of their result is an attribute, and values that they turn into integers would not survive half precision.
_TYPED_BY_ATTRIBUTE = frozenset(
    {
        *("Cast", "CastLike", "ConstantOfShape", "EyeLike", "Constant", "Range", "BitCast", *DRAWING),
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
    }
)
# What may lie between two parts of one normalization.
_CONNECTING = frozenset(
    {
        *("Add", "Sub", "Mul", "Div", "Sqrt", "Reciprocal", "Neg", "Abs", "Max", "Min", "Clip", "Sum", "Mean"),
        *("AveragePool", "GlobalAveragePool", "Pad", "Slice", "Concat", "Expand", "Reshape", "Flatten", "Squeeze"),
        *("Unsqueeze", "Transpose", "Identity"),
    }
)
# Bounds beyond the range of half precision bound nothing there, so that the largest half serves as well.
SATURATING = frozenset({"Clip", "Max", "Min"})
_RECURRENT = ("GRU", "LSTM", "RNN")
# What constants may lose as a whole: the smallest weights matter least. A summand or factor (a learned vector, whose
# smallest values matter little; an epsilon, which is all there is) may lose more, since it need not be exact. Of others
# (divisors, bounds) no value may vanish.
_TOLERATED = {
    **dict.fromkeys((*LINEAR, *_RECURRENT, "Einsum", "Gather"), 1e-2),
    **dict.fromkeys(("Add", "Mul", "PRelu", "Sub", "Sum"), 1e-1),
}
# Which input is added to a sum of products.
_BIAS = {**dict.fromkeys(LINEAR, 2), **dict.fromkeys(_RECURRENT, 3)}


@dataclass(frozen=True)
class Islands:
    """`nodes`: ids of the nodes that keep FP32. `losses`: constants for whose sake a node is among them."""

    nodes: frozenset[int]
    losses: tuple[Loss, ...]


@dataclass(frozen=True)
class Slots:
    """For each input and output of a node: whether it may be half (else it is what the operator's definition says)."""

    inputs: tuple[bool, ...]
    outputs: tuple[bool, ...]


def find_islands(
    graph: Graph, types: Mapping[str, ValueType], half: Half, keep: Callable[[onnx.NodeProto], bool]
) -> Islands:
    """The nodes of a prepared graph that keep FP32. `keep`: whether the user keeps a node in FP32."""
    losses: list[Loss] = []
    base: set[int] = set()
    for node in graph.nodes:
        apart = node.op_type in half.lacking or bool(subgraphs(node))
        if apart or keep(node) or _overflows(node) or slots(graph, types, node, half) is None:
            base.add(id(node))
            continue
        node_losses = list(_losses(graph, types, node, half))
        if node_losses:
            base.add(id(node))
            losses += node_losses
    base |= _between(graph, base)
    base |= _finishing(graph, base)
    base |= _between(graph, base)  # the root between a mean square and the division by it
    return Islands(frozenset(base | counting_nodes(graph, types)), tuple(losses))


def slots(graph: Graph, types: Mapping[str, ValueType], node: onnx.NodeProto, half: Half) -> Slots | None:
    """Which inputs and outputs may be half, by the operator's definition; None where the operator has no half form.

    PrecisionError where the type of a tensor is unknown (an operator outside of the ONNX standard before it).
    """
    if node.domain not in ("", "ai.onnx") or node.op_type in _TYPED_BY_ATTRIBUTE:
        return None
    try:
        schema = onnx.defs.get_schema(node.op_type, graph.opset, "")
    except onnx.defs.SchemaError:
        return None
    if any(name in types and types[name].element == NO_TENSOR for name in (*node.input, *node.output)):
        return None  # sequences of float32 stay what they are
    allowed = {entry.type_param_str: entry.allowed_type_strs for entry in schema.type_constraints}

    def of(names: Iterable[str], formal: list) -> list[bool | None]:
        result: list[bool | None] = []
        for index, name in enumerate(names):
            type_string = formal[min(index, len(formal) - 1)].type_str
            if not is_float(types, name) or type_string not in allowed:
                result.append(False)
            else:
                result.append(True if half.type_string in allowed[type_string] else None)
        return result

    inputs, outputs = of(node.input, list(schema.inputs)), of(node.output, list(schema.outputs))
    if None in inputs or None in outputs:
        return None
    return Slots(tuple(map(bool, inputs)), tuple(map(bool, outputs)))


def is_float(types: Mapping[str, ValueType], name: str) -> bool:
    """Whether a tensor is float32. PrecisionError where its type is unknown."""
    if not name:
        return False
    value_type = types.get(name)
    if value_type is None or value_type.element == TensorProto.UNDEFINED:
        raise PrecisionError(
            f"the type of tensor {name!r} is unknown, so the graph cannot be rewritten to half precision"
        )
    return value_type.element == TensorProto.FLOAT


def _overflows(node: onnx.NodeProto) -> bool:
    squares = node.op_type == "Mul" and len(set(node.input)) == 1
    return squares or node.op_type in _OVERFLOWING


def _losses(graph: Graph, types: Mapping[str, ValueType], node: onnx.NodeProto, half: Half) -> Iterable[Loss]:
    for name in dict.fromkeys(node.input):
        values = graph.array(name) if name else None
        if values is None or not is_float(types, name):
            continue
        constant_loss = loss(node.name, name, values, half, tolerated=_TOLERATED.get(node.op_type))
        if constant_loss is None or (constant_loss.kind == "overflow" and node.op_type in SATURATING):
            continue
        if constant_loss.kind == "underflow" and _is_bias(node, name):
            continue  # it loses less than the smallest step of the half output that it is added to
        yield constant_loss


def _is_bias(node: onnx.NodeProto, name: str) -> bool:
    """Whether a constant is only what an operator adds to its sum of products (once: fold.py absorbs beta)."""
    where = _BIAS.get(node.op_type)
    return where is not None and [index for index, read in enumerate(node.input) if read == name] == [where]


def _between(graph: Graph, base: set[int]) -> set[int]:
    """Connecting nodes on a path between two nodes of `base` that consists of connecting nodes only."""
    members = [node for node in graph.nodes if id(node) in base and node.op_type not in _TYPED_BY_ATTRIBUTE]
    downstream = _reach(members, lambda node: [r for name in node.output if name for r in graph.readers(name)])
    upstream = _reach(members, lambda node: [p for name in node.input if name and (p := graph.producer(name))])
    return downstream & upstream


def _reach(start: list[onnx.NodeProto], neighbours: Callable[[onnx.NodeProto], list[onnx.NodeProto]]) -> set[int]:
    reached: set[int] = set()
    stack = list(start)
    while stack:
        for node in neighbours(stack.pop()):
            if node.op_type in _CONNECTING and id(node) not in reached:
                reached.add(id(node))
                stack.append(node)
    return reached


def _finishing(graph: Graph, base: set[int]) -> set[int]:
    """Products and quotients by a result of an island: the divisor may be too large, or too small, for half."""
    finishing = set()
    for node in graph.nodes:
        if node.op_type in ("Mul", "Div") and node.domain in ("", "ai.onnx"):
            producers = [graph.producer(name) for name in node.input]
            if any(p is not None and id(p) in base and p.op_type not in _TYPED_BY_ATTRIBUTE for p in producers):
                finishing.add(id(node))
    return finishing
