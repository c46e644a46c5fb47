"""Finds the nodes of a graph through which whole numbers travel as floats: ids, counts, positions and sizes.

Half precision holds consecutive integers up to 2048, bf16 up to 256; beyond them another row would be looked up, and a
computed size would be another. Such numbers are followed from where they come from (integers, inputs) and from what
they are used for (an index, a shape, a comparison) back to the first layer that was learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
    *("Reciprocal", "LeakyRelu", "CenterCropPad", "Col2Im", "LpPool", "GlobalLpPool", "ReduceL1", "ReduceSumSquare"),
    *("PRelu", "ThresholdedRelu", "Shrink", "Elu", "Selu", "Celu", "MaxUnpool"),
}
# These carry whole numbers too where their constants were written down, not learned: permutations, sums, steps.
_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum"})
LEARNED = _PRODUCTS | {"LSTM", "GRU", "RNN", "Attention", "DeformConv"}
# What turns floats into integers, truth values or places: a rounded input gives another of them.
DECIDING = frozenset(
    {
        *("Cast", "CastLike", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Range", "OneHot", "Mod"),
        *("NonZero", "ArgMax", "ArgMin", "Unique", "NonMaxSuppression", "TopK"),
    }
)
# An angle of many turns loses its place in the last one.
_TURNING = frozenset({"Sin", "Cos", "Tan"})
# Inputs that say where to read or write, or how large a result is, by number.
_INDEXES: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("ConstantOfShape", "Loop", "BlackmanWindow", "HannWindow", "HammingWindow"), (0,)),
    **dict.fromkeys(("Gather", "GatherElements", "GatherND", "Scatter", "ScatterElements", "ScatterND"), (1,)),
    **dict.fromkeys(("Reshape", "Expand", "Tile", "TopK", "Split", "Squeeze", "Unsqueeze", "Trilu", "CumSum"), (1,)),
    **dict.fromkeys(("Compress", "CenterCropPad", "ReverseSequence", "Upsample", "GridSample", "AffineGrid"), (1,)),
    **dict.fromkeys(("RoiAlign", "MaxRoiPool", "MaxUnpool"), (1, 2)),
    "OneHot": (0, 1),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "NonMaxSuppression": (0, 2, 3, 4),
}
# Their values keep half precision beside positions of another type; all others read the positions' own type.
_OWN_TYPE = frozenset({"Resize", "Upsample"})
# What only bodies have to be asked for: it makes integers and truth values, or constants.
_COUNTED = frozenset({"Constant", "Shape", "Size", "Not", "And", "Or", "Xor", "ConstantOfShape", "IsNaN", "IsInf"})
_WIDE = (
    *(TensorProto.INT64, TensorProto.INT32, TensorProto.INT16, TensorProto.UINT64, TensorProto.UINT32),
    TensorProto.UINT16,
)
# Integers that half precision holds, but not their sums.
_NARROW = (TensorProto.BOOL, TensorProto.UINT8, TensorProto.INT8)
# So few coordinates has a place, whose angles are products by frequencies.
_COORDINATES = 4
# So many magnitudes at most has a constant that somebody wrote down; so many values a filter, such as a Gaussian's.
_MAGNITUDES = 4
_FILTER = 64


def counting_nodes(graph: Graph, types: Mapping[str, ValueType]) -> set[int]:
    """Ids of the nodes that must not round: between integers (or the network's inputs) and what decides by the values,
    and between what was learned and an index, a place or a size that is made of it.

    Values that a layer computes are no whole numbers: paths from convolutions and products by weights do not count.
    What only moves inputs or whole numbers to an output does not round either, beside computed values too.
    """
    values = _Values.of(graph, types)
    traced = values.plain | values.mixed
    nodes = {id(node) for node in graph.nodes if any(name in values.whole for name in node.output)}
    nodes |= {id(node) for node in graph.nodes if _reads_what_decides(node, traced, types)}
    nodes |= _handed_on(graph, types, values.counted)

    decided = [name for node in graph.nodes if node.op_type in DECIDING for name in node.input]
    decided += [name for node in graph.nodes if subgraphs(node) for name in (*node.input, *captured(node))]
    nodes |= _computing(graph, decided, traced.__contains__)

    def is_unlearned(name: str) -> bool:
        producer = graph.producer(name)
        if name in traced or producer is None or not _is_float(types, name) or subgraphs(producer):
            return name in traced
        return producer.op_type not in LEARNED or _has_written_constants(graph, producer)

    indexes = _indexes(graph, types)
    integers = [node.input[0] for node in graph.nodes if _makes_integers(node, types)]
    nodes |= _computing(graph, (*integers, *indexes), is_unlearned)
    nodes |= _computing(graph, indexes, lambda name: name in values.derived or is_unlearned(name))

    def is_angle(name: str) -> bool:
        producer = graph.producer(name)
        return is_unlearned(name) or (producer is not None and _size_of_sums(producer, types) <= _COORDINATES)

    angles = [node.input[0] for node in graph.nodes if node.op_type in _TURNING]
    return nodes | _computing(graph, angles, is_angle)


@dataclass(frozen=True)
class _Values:
    """Float tensors by where they come from, constants aside.

    `whole`: from wide integers through carrying nodes alone, so that they are whole numbers or computed of such.
    `counted`: from narrow ones too. `plain`: from the network's inputs too. `mixed`: parts or summands of a tensor are
    so. `derived`: from wide integers, through whatever.
    """

    whole: set[str] = field(default_factory=set)
    counted: set[str] = field(default_factory=set)
    plain: set[str] = field(default_factory=set)
    mixed: set[str] = field(default_factory=set)
    derived: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, graph: Graph, types: Mapping[str, ValueType]) -> _Values:
        values = cls(plain={name for name in graph.input_names if _is_float(types, name)})
        for node in graph.sorted_nodes():
            values._follow(graph, types, node)
        return values

    def _follow(self, graph: Graph, types: Mapping[str, ValueType], node: NodeProto) -> None:
        names = dict.fromkeys((*node.input, *captured(node)))
        reads = {name for name in names if name and _is_float(types, name) and name not in graph.constants}
        made = [name for name in node.output if name and _is_float(types, name)]
        is_wide, is_narrow = _comes_from(node, types, _WIDE), _comes_from(node, types, _NARROW)
        carries = self._carries(graph, types, node, reads)
        if is_wide or (reads and reads <= self.derived):
            self.derived.update(made)
        if is_wide or (carries and reads <= self.whole):
            self.whole.update(made)
        if is_wide or is_narrow or (carries and reads <= self.counted):
            self.counted.update(made)
            self.plain.update(made)
        elif carries and reads <= self.plain:
            self.plain.update(made)
        elif carries and (reads & (self.counted | self.mixed) or (node.op_type in _MOVING and reads & self.plain)):
            self.mixed.update(made)

    def _carries(self, graph: Graph, types: Mapping[str, ValueType], node: NodeProto, reads: set[str]) -> bool:
        if subgraphs(node):
            return _bodies_carry(node)
        if node.op_type in _PRODUCTS:
            if not reads & (self.plain | self.mixed):
                return False  # whatever its constants are, which takes long to find out
            is_selection = bool(reads & self.counted) or _has_written_constants(graph, node)
            return _size_of_sums(node, types) == 1 or (is_selection and not _has_learned_constants(graph, node))
        return node.op_type in _CARRYING and bool(reads)


def _computing(graph: Graph, names: Iterable[str], follows: Callable[[str], bool]) -> set[int]:
    """Ids of the nodes that compute these tensors from others, as far back as it `follows`."""
    nodes: set[int] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        producer = graph.producer(name) if name and follows(name) else None
        if producer is not None and id(producer) not in nodes:
            nodes.add(id(producer))
            stack += [*producer.input, *captured(producer)]
    return nodes


def _handed_on(graph: Graph, types: Mapping[str, ValueType], counted: set[str]) -> set[int]:
    """Ids of the nodes that move inputs or whole numbers, alone or beside other values, to an output."""
    exact = counted | {name for name in graph.input_names if _is_float(types, name)}
    for node in graph.sorted_nodes():
        if node.op_type in _MOVING and any(name in exact for name in node.input):
            exact.update(name for name in node.output if name)

    def is_moved(name: str) -> bool:
        producer = graph.producer(name)
        return name in exact and producer is not None and producer.op_type in _MOVING

    return _computing(graph, graph.output_names, is_moved)


def _indexes(graph: Graph, types: Mapping[str, ValueType]) -> list[str]:
    """Float tensors of which indexes, places and sizes are made: read as such, or made integers first."""
    stack = [name for node in graph.nodes for name in index_inputs(node)]
    bodies = (name for node in graph.nodes if subgraphs(node) for name in (*node.input, *captured(node)))
    stack += [name for name in bodies if not _is_float(types, name)]  # what a body counts, it counts with integers
    indexes: dict[str, None] = {}
    seen: set[str] = set(graph.constants)
    while stack:
        name = stack.pop()
        if name in seen:
            continue
        seen.add(name)
        producer = graph.producer(name)
        if _is_float(types, name):
            indexes[name] = None
        elif producer is not None and producer.op_type not in ("Shape", "Size"):
            decides = producer.op_type in DECIDING and producer.op_type not in ("Cast", "CastLike")
            stack += [each for each in producer.input if each and not (decides and _is_float(types, each))]
    return list(indexes)


def index_inputs(node: NodeProto) -> list[str]:
    """The tensors that a node reads as indexes, places or sizes."""
    numbers = _INDEXES.get(node.op_type, ())
    return [name for number, name in enumerate(node.input) if name and number in numbers]


def _makes_integers(node: NodeProto, types: Mapping[str, ValueType]) -> bool:
    """Whether a node turns floats into wide integers, not by a comparison."""
    if node.op_type not in ("Cast", "CastLike") or not _is_float(types, node.input[0]):
        return False
    result = types.get(node.output[0])
    return result is not None and result.element in _WIDE


def _reads_what_decides(node: NodeProto, exact: Container[str], types: Mapping[str, ValueType]) -> bool:
    """Whether a node must not round what it reads, since it decides by exact values, or takes them for places."""
    if node.op_type in DECIDING and any(name in exact for name in node.input):
        return True
    if subgraphs(node) and any(name in exact for name in (*captured(node), *node.input)):
        return True
    return node.op_type not in _OWN_TYPE and any(_is_float(types, name) for name in index_inputs(node))


def _size_of_sums(node: NodeProto, types: Mapping[str, ValueType]) -> float:
    """Over how many values a product sums: 1 for positions times frequencies, as rotary embeddings have them."""
    value = types.get(node.input[0])
    if node.op_type not in ("MatMul", "Gemm") or attribute(node, "transA", 0) or value is None or not value.shape:
        return math.inf
    return value.shape[-1] or math.inf


def _has_written_constants(graph: Graph, node: NodeProto) -> bool:
    return bool(_constants(graph, node)) and not _has_learned_constants(graph, node)


def _has_learned_constants(graph: Graph, node: NodeProto) -> bool:
    return node.op_type not in _PRODUCTS or not all(map(_is_written, _constants(graph, node)))


def _constants(graph: Graph, node: NodeProto) -> list[NDArray[Any]]:
    factors = node.input if node.op_type == "Einsum" else node.input[:2]  # whatever is added does not round the rest
    return [each for name in factors if (each := graph.array(name)) is not None and each.dtype.kind == "f"]


def _is_written(values: NDArray[np.float32]) -> bool:
    """Whether a constant was not learned: hardly two values differ, or they are a place's or a filter's integers."""
    first, flat = (np.abs(part) for part in (values.reshape(-1)[:1024], values.reshape(-1)))
    if np.unique(first).size <= _MAGNITUDES and np.unique(flat).size <= _MAGNITUDES:
        return True
    is_place = values.size in (0, *values.shape) or values.shape[-1] <= _COORDINATES or values.size <= _FILTER
    return is_place and bool((flat == np.rint(flat)).all())


def _bodies_carry(node: NodeProto) -> bool:
    """Whether the bodies of an If, Loop or Scan only move, decide and count: no learned product is among them."""
    return all(
        _bodies_carry(inner) if subgraphs(inner) else inner.op_type in _CARRYING | DECIDING | _COUNTED
        for body in subgraphs(node)
        for inner in body.node
    )


def _comes_from(node: NodeProto, types: Mapping[str, ValueType], elements: tuple[int, ...]) -> bool:
    source = types.get(node.input[0]) if node.op_type in ("Cast", "CastLike") else None
    return source is not None and source.element in elements


def _is_float(types: Mapping[str, ValueType], name: str) -> bool:
    value = types.get(name)
    return value is not None and value.element == TensorProto.FLOAT
