"""Counts the operations and the weights of nodes, quantized ones and the bodies of If, Loop and Scan included.

An If counts as its larger branch. A Loop or Scan counts as often as it runs where constants or shapes say how often,
else once, with a remark. All weights of all bodies count, each once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import ceil, prod
from typing import TYPE_CHECKING

from inferkit.precision.rewrite.nodes import attribute, subgraphs
from inferkit.precision.work.scope import Scope

if TYPE_CHECKING:
    import onnx

# ONNX element types: name, and bytes of one value.
TYPES: Mapping[int, tuple[str, float]] = {
    1: ("fp32", 4),
    2: ("uint8", 1),
    3: ("int8", 1),
    4: ("uint16", 2),
    5: ("int16", 2),
    6: ("int32", 4),
    7: ("int64", 8),
    9: ("bool", 1),
    10: ("fp16", 2),
    11: ("fp64", 8),
    12: ("uint32", 4),
    13: ("uint64", 8),
    16: ("bf16", 2),
    17: ("fp8", 1),
    18: ("fp8", 1),
    19: ("fp8", 1),
    20: ("fp8", 1),
    21: ("uint4", 0.5),
    22: ("int4", 0.5),
    23: ("fp4", 0.5),
}
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
# What may stand between a stored weight and the layer that computes with it.
_PASSING = (*QUANTIZERS, "Cast", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten")
_BODIES = ("If", "Loop", "Scan")

Shape = tuple[int, ...]


def _convolution(node: onnx.NodeProto, image: Shape, weight: Shape, output: Shape) -> int:
    """Every output is a sum over the channels of a group and the kernel: the weight's shape without its first axis."""
    return prod(output) * prod(weight[1:])


def _deconvolution(node: onnx.NodeProto, image: Shape, weight: Shape, output: Shape) -> int:
    """Every input is multiplied with the weight's shape without its first axis."""
    return prod(image) * prod(weight[1:])


def _product(node: onnx.NodeProto, first: Shape, second: Shape, output: Shape) -> int:
    """Every output is a sum over the axis that the factors share."""
    transposed = attribute(node, "transA", 0) and len(first) > 1
    return prod(output) * first[-2 if transposed else -1]


def _recurrence(node: onnx.NodeProto, sequence: Shape, weight: Shape, output: Shape) -> int:
    """At every step each gate multiplies the input [.., I] and the state [.., H]: weights are [D, G·H, I]."""
    directions, gates, size = weight
    hidden = attribute(node, "hidden_size", None) or output[-1]
    return prod(sequence[:2]) * directions * gates * (size + hidden)


# Of each operator: which inputs are multiplied, and how often.
_COUNTED: Mapping[str, tuple[int, int, Callable[[onnx.NodeProto, Shape, Shape, Shape], int]]] = {
    "Conv": (0, 1, _convolution),
    "ConvInteger": (0, 1, _convolution),
    "FusedConv": (0, 1, _convolution),
    "QLinearConv": (0, 3, _convolution),
    "ConvTranspose": (0, 1, _deconvolution),
    "Gemm": (0, 1, _product),
    "QGemm": (0, 3, _product),
    "MatMul": (0, 1, _product),
    "FusedMatMul": (0, 1, _product),
    "MatMulInteger": (0, 1, _product),
    "MatMulIntegerToFloat": (0, 1, _product),
    "DynamicQuantizeMatMul": (0, 1, _product),
    "QLinearMatMul": (0, 3, _product),
    "LSTM": (0, 1, _recurrence),
    "GRU": (0, 1, _recurrence),
    "RNN": (0, 1, _recurrence),
}
# Of operators that take their scales and zero points as inputs: which inputs may be learned values.
_LEARNED = {
    "ConvInteger": (0, 1),
    "MatMulInteger": (0, 1),
    "MatMulIntegerToFloat": (0, 1, 6),
    "DynamicQuantizeMatMul": (0, 1, 4),
    "QGemm": (0, 3, 6),
    "QLinearConv": (0, 3, 8),
    "QLinearMatMul": (0, 3),
}


def operations_of(node: onnx.NodeProto, scope: Scope) -> int | None:
    """Operations of one node (2 per multiply-accumulate); None for kinds not counted and where a shape is unknown."""
    if node.op_type in _COUNTED:
        first, second, count = _COUNTED[node.op_type]
        if len(node.input) <= second:
            return None
        output = next((name for name in node.output if name), "")
        shapes = [scope.shape(name) for name in (node.input[first], node.input[second], output)]
        if any(shape is None for shape in shapes) or not shapes[0]:
            return None
        return 2 * count(node, *(shape for shape in shapes if shape is not None))
    bodies = [(_sum(body), 1 if trips is None else trips) for body, trips in bodies_of(node, scope)]
    counted = [operations * trips for operations, trips in bodies if operations is not None]
    return max(counted, default=None)


def _sum(scope: Scope) -> int | None:
    counts = [operations_of(node, scope) for node in scope.nodes]
    counted = [count for count in counts if count is not None]
    return sum(counted) if counted else None


def weights_of(node: onnx.NodeProto, scope: Scope, *, factors_only: bool = False) -> list[onnx.TensorProto]:
    """The learned values of a node and of its bodies, each once.

    Constants of floating point, those that a Q/DQ pair, a cast or a reshape stands before, and matrices of bytes; with
    `factors_only` those that are multiplied, of nodes that are counted.
    """
    if node.op_type in _PASSING:
        return []
    places: Iterable[int] = _LEARNED.get(node.op_type, range(len(node.input)))
    if factors_only:
        places = _COUNTED[node.op_type][:2] if node.op_type in _COUNTED else ()
    weights: dict[int, onnx.TensorProto] = {}
    for name in (node.input[place] for place in places if place < len(node.input)):
        source, is_dequantized = name, False
        while source not in scope.constants and source in scope.made and scope.made[source].op_type in _PASSING:
            maker = scope.made[source]
            source, is_dequantized = maker.input[0], is_dequantized or maker.op_type in (*QUANTIZERS, "Cast")
        tensor = scope.constants.get(source)
        if tensor is not None and (is_dequantized or node.op_type in _LEARNED or _is_learned(tensor)):
            weights[id(tensor)] = tensor
    for body, _ in bodies_of(node, scope):
        for inner in body.nodes:
            weights |= {id(each): each for each in weights_of(inner, body, factors_only=factors_only)}
    return list(weights.values())


def _is_learned(tensor: onnx.TensorProto) -> bool:
    name = TYPES.get(tensor.data_type, ("", 0))[0]
    return name.startswith(("fp", "bf")) or (name in ("int8", "uint8", "int4", "uint4") and len(tensor.dims) > 1)


def precision_of(node: onnx.NodeProto, scope: Scope) -> str:
    """The type of what goes in; int8 or fp8 where image and weight of a weighted layer are both quantized.

    Of an If, Loop or Scan that of the first node of its bodies that is counted.
    """
    if not node.input:
        return _type_name(scope.element(node.output[0]))
    if node.op_type in _LEARNED:
        return "int8"
    for body, _ in bodies_of(node, scope):
        inner = next((each for each in body.nodes if operations_of(each, body) is not None), None)
        if inner is not None:
            return precision_of(inner, body)
    sources = [scope.made.get(name) for name in node.input[:2]]
    if len(sources) == 2 and all(source is not None and source.op_type == "DequantizeLinear" for source in sources):
        first = sources[0]
        assert first is not None
        return _type_name(scope.element(first.input[0])).replace("uint8", "int8").replace("unknown", "int8")
    return _type_name(scope.element(node.input[0]))


def _type_name(element: int) -> str:
    return TYPES.get(element, ("unknown", 0))[0]


def is_counted(node: onnx.NodeProto) -> bool:
    """Whether the operations of this kind of node are counted, where shapes are known."""
    return node.op_type in _COUNTED


def bytes_of(tensor: onnx.TensorProto) -> int:
    """What a tensor takes as stored."""
    return ceil(prod(tensor.dims) * TYPES.get(tensor.data_type, ("", 0))[1])


def remarks_of(scope: Scope) -> list[str]:
    """What the count of a network's operations leaves open, one sentence each."""
    missing = list(_not_counted(scope))
    remarks = list(_on_bodies(scope))
    if missing:
        layers = f"{len(missing)} layers are" if len(missing) > 1 else "1 layer is"
        shown = f"{', '.join(missing[:3])}{', …' * (len(missing) > 3)}"
        remarks.append(f"{layers} not counted, since shapes are not known: {shown}")
    return remarks


def _not_counted(scope: Scope) -> Iterator[str]:
    for node in scope.nodes:
        if is_counted(node) and operations_of(node, scope) is None:
            yield node.name or node.output[0]
        for body, _ in bodies_of(node, scope):
            yield from _not_counted(body)


def _on_bodies(scope: Scope) -> Iterator[str]:
    for node in scope.nodes:
        name = node.name or node.output[0]
        for body, trips in bodies_of(node, scope):
            if trips is None and _sum(body):
                yield f"{node.op_type} {name!r} counts as one run: how often it runs depends on the data"
            yield from _on_bodies(body)
        if node.op_type == "If" and operations_of(node, scope):
            yield f"If {name!r} counts as the larger of its branches"


def bodies_of(node: onnx.NodeProto, scope: Scope) -> list[tuple[Scope, int | None]]:
    """The bodies of a node of `scope.nodes`, and how often each runs; None where the data decides."""
    if id(node) not in scope.bodies:
        scope.bodies[id(node)] = _looked_up(node, scope)
    found: list[tuple[Scope, int | None]] = scope.bodies[id(node)]
    return found


def _looked_up(node: onnx.NodeProto, scope: Scope) -> list[tuple[Scope, int | None]]:
    if node.op_type not in _BODIES or node.domain not in ("", "ai.onnx"):
        function = scope.function(node)
        return [] if function is None else [(function, 1)]
    graphs = subgraphs(node)
    if node.op_type == "If":
        return [(scope.inside(graph, {}), 1) for graph in graphs]
    (graph,) = graphs
    if node.op_type == "Loop":
        fed = _typed(graph, [None, None, *node.input[2:]], scope)
        body = scope.inside(graph, fed)
        return [(body, _trips(node, graph, body, scope))]
    return [_scan(node, graph, scope)]


def _typed(graph: onnx.GraphProto, names: Iterable[str | None], scope: Scope) -> dict[str, onnx.ValueInfoProto]:
    """Types of a body's inputs: those of what it is fed first."""
    pairs = zip(graph.input, names, strict=False)
    return {value.name: scope.values[name] for value, name in pairs if name and name in scope.values}


def _trips(node: onnx.NodeProto, graph: onnx.GraphProto, body: Scope, scope: Scope) -> int | None:
    """How often a Loop runs where that is certain: a count, and a condition that never changes."""
    count = scope.integers(node.input[0]) if node.input[0] else None
    begins = len(node.input) < 2 or not node.input[1] or scope.integers(node.input[1]) == [1]
    condition = graph.output[0].name
    while condition in body.made and body.made[condition].op_type == "Identity":
        condition = body.made[condition].input[0]
    goes_on = condition == graph.input[1].name or body.integers(condition) == [1]
    return count[0] if count and begins and goes_on else None


def _scan(node: onnx.NodeProto, graph: onnx.GraphProto, scope: Scope) -> tuple[Scope, int | None]:
    sequences = attribute(node, "num_scan_inputs", 1)
    states = len(node.input) - sequences
    axes = attribute(node, "scan_input_axes", None) or [0] * sequences
    fed, trips = _typed(graph, node.input[:states], scope), None
    for value, name, axis in zip(graph.input[states:], node.input[states:], axes, strict=False):
        if name in scope.values:
            one = fed[value.name] = type(value)()
            one.CopyFrom(scope.values[name])
            dims = one.type.tensor_type.shape.dim
            if -len(dims) <= axis < len(dims):
                taken = dims.pop(axis)
                trips = taken.dim_value if trips is None and taken.HasField("dim_value") else trips
    return scope.inside(graph, fed), trips
