"""Finds the nodes of a graph through which whole numbers travel as floats: ids, counts, positions and sizes.

Half precision holds consecutive integers up to 2048, bf16 up to 256; beyond them another row would be looked up, and a
computed size would be another.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnx import NodeProto, TensorProto

from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import attribute, captured, subgraphs
from inferkit.precision.rewrite.value_types import ValueType

# What comes out of these has gone in: of a network's input, or a whole number, on its way to an output.
_MOVING = frozenset(
    {
        *("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Split", "Slice", "Concat", "Expand"),
        *("Tile", "Gather", "GatherElements", "GatherND", "DepthToSpace", "SpaceToDepth", "Dropout"),
    }
)
# Whole numbers that go in may come out of these; no layer with learned products is among them.
_CARRYING = _MOVING | {
    *("Pad", "ScatterElements", "ScatterND", "Compress", "Where", "Trilu", "CumSum", "Range", "Mean", "ReduceMean"),
    *("Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Sign", "Floor", "Ceil", "Round", "Clip", "Min", "Max"),
    *("Sum", "Pow", "Sqrt", "Relu", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "TopK", "Exp", "Log"),
    *("Resize", "Upsample", "MaxPool", "GlobalMaxPool", "AveragePool", "GlobalAveragePool", "ReverseSequence"),
    *("Reciprocal", "LeakyRelu"),
}
# What turns floats into integers, truth values or places: a rounded input gives another of them.
_DECIDING = frozenset(
    {
        *("Cast", "CastLike", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Range", "OneHot", "Mod"),
        *("NonZero", "ArgMax", "ArgMin", "Unique", "NonMaxSuppression", "TopK"),
    }
)
# What only bodies have to be asked for: it makes integers and truth values, or constants.
_COUNTED = frozenset({"Constant", "Shape", "Size", "Not", "And", "Or", "Xor", "ConstantOfShape", "IsNaN", "IsInf"})


def counting_nodes(graph: Graph, types: Mapping[str, ValueType]) -> set[int]:
    """Ids of the nodes that must not round: between integers (or the network's inputs) and what decides by the values.

    Values that a layer computes are not whole numbers: paths from convolutions and products by weights do not count.
    What only moves inputs or whole numbers to an output does not round either, beside computed values too.
    """
    plain, whole = _unlearned(graph, types)
    nodes = {id(node) for node in graph.nodes if any(name in whole for name in node.output)}
    nodes |= _handed_on(graph, types, whole)
    stack = [
        node
        for node in graph.nodes
        if node.op_type in _DECIDING and any(name in plain or name in whole for name in node.input)
    ]
    stack += [node for node in graph.nodes if any(name in plain for name in captured(node))]
    stack += [node for node in graph.nodes if subgraphs(node) and any(name in plain for name in node.input)]
    nodes.update(id(node) for node in stack)
    while stack:
        node = stack.pop()
        for name in (*node.input, *captured(node)):
            producer = graph.producer(name) if name in plain else None
            if producer is not None and id(producer) not in nodes:
                nodes.add(id(producer))
                stack.append(producer)
    return nodes


def _handed_on(graph: Graph, types: Mapping[str, ValueType], whole: set[str]) -> set[int]:
    """Ids of the nodes that move inputs or whole numbers, alone or beside other values, to an output."""
    exact = whole | {name for name in graph.input_names if _is_float(types, name)}
    for node in graph.sorted_nodes():
        if node.op_type in _MOVING and any(name in exact for name in node.input):
            exact.update(name for name in node.output if name)
    nodes: set[int] = set()
    stack = [name for name in graph.output_names if name in exact]
    while stack:
        producer = graph.producer(stack.pop())
        if producer is not None and producer.op_type in _MOVING and id(producer) not in nodes:
            nodes.add(id(producer))
            stack += [name for name in producer.input if name in exact]
    return nodes


def _unlearned(graph: Graph, types: Mapping[str, ValueType]) -> tuple[set[str], set[str]]:
    """Float tensors that come from inputs, integers and constants through carrying nodes alone; and, of these, those
    that come from no input, so that they are whole numbers or computed of such."""
    plain = {name for name in graph.input_names if _is_float(types, name)}
    whole: set[str] = set()
    for node in graph.sorted_nodes():
        names = dict.fromkeys((*node.input, *captured(node)))
        reads = [name for name in names if name and _is_float(types, name) and name not in graph.constants]
        made = [name for name in node.output if name and _is_float(types, name)]
        has_bodies = bool(subgraphs(node))
        scales = node.op_type in ("MatMul", "Gemm") and _is_outer_product(node, types)
        carries = _carries(node) if has_bodies else (node.op_type in _CARRYING or scales) and bool(reads)
        if _comes_from_integers(node, types) or (carries and set(reads) <= whole):
            whole.update(made)
            plain.update(made)
        elif carries and set(reads) <= plain:
            plain.update(made)
    return plain, whole


def _is_outer_product(node: NodeProto, types: Mapping[str, ValueType]) -> bool:
    """Whether nothing is added up: positions times frequencies, as rotary embeddings have them."""
    value = types.get(node.input[0])
    if attribute(node, "transA", 0):
        return False
    return value is not None and bool(value.shape) and value.shape[-1] == 1  # type: ignore[index]


def _carries(node: NodeProto) -> bool:
    """Whether the bodies of an If, Loop or Scan only move, decide and count: no learned product is among them."""
    return all(
        _carries(inner) if subgraphs(inner) else inner.op_type in _CARRYING | _DECIDING | _COUNTED
        for body in subgraphs(node)
        for inner in body.node
    )


def _comes_from_integers(node: NodeProto, types: Mapping[str, ValueType]) -> bool:
    source = types.get(node.input[0]) if node.op_type in ("Cast", "CastLike") else None
    return source is not None and source.element in (
        *(TensorProto.INT64, TensorProto.INT32, TensorProto.INT16, TensorProto.UINT64, TensorProto.UINT32),
        TensorProto.UINT16,
    )


def _is_float(types: Mapping[str, ValueType], name: str) -> bool:
    value = types.get(name)
    return value is not None and value.element == TensorProto.FLOAT
