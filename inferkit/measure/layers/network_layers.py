"""The layers of a network: shape, parameters, operations, bytes, and the precision that it computes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from inferkit.measure.layers.node_text import NodeTexts, constant_text, digest_of, tensor_text
from inferkit.measure.layers.roofline import fixed_batch, operations_of, tensors_of

if TYPE_CHECKING:
    import onnx

    from inferkit.network.network import Network

# ONNX element types: name, and bytes of one value.
_TYPES = {
    1: ("fp32", 4),
    2: ("uint8", 1),
    3: ("int8", 1),
    6: ("int32", 4),
    7: ("int64", 8),
    9: ("bool", 1),
    10: ("fp16", 2),
    11: ("fp64", 8),
    16: ("bf16", 2),
    17: ("fp8", 1),
    18: ("fp8", 1),
    19: ("fp8", 1),
    20: ("fp8", 1),
}
_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Source:
    """What an input of a layer is: of a `kind` "layer" or "input" (of the network) the name and which output;
    "weights"; of another "constant" its value; "none" for an optional input that is left out.
    """

    kind: str
    name: str = ""
    output: int = 0

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.name or self.kind}{f' (output {self.output + 1})' if self.output else ''}"


WEIGHTS = Source("weights")


@dataclass(frozen=True)
class Layer:
    """One node. `shape` of its first output (None: not inferred) at batch 1, or the one that the network is fixed to;
    `precision` of what it computes with.

    `operations` of one image, 2 per multiply-accumulate, None for kinds that are not counted (they hardly cost any).
    `weight_bytes` as stored in the model, `output_bytes` of one image, None where the shape is not
    known, 0 for what is computed from constants alone (a backend does that once). `weights` (a digest of its learned
    values), `attributes` (names and texts) and `inputs` are there to tell two networks apart.
    """

    name: str
    op: str
    shape: tuple[int, ...] | None
    precision: str
    parameters: int
    operations: int | None
    weight_bytes: int
    output_bytes: int | None
    weights: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    inputs: tuple[Source, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what the layer is and costs, not how it is wired."""
        return {key: value for key, value in asdict(self).items() if key not in ("attributes", "inputs")}


@dataclass(frozen=True)
class Totals:
    """Of a whole network at batch 1; a weight that several layers share is counted once."""

    layers: int
    parameters: int
    operations: int
    weight_bytes: int
    output_bytes: int


def layers_of(network: Network, *, digests: bool = False) -> tuple[Layer, ...]:
    """Every layer in the order of the graph. `digests` reads weights, attributes and inputs too, for comparing."""
    graph = network.model.graph
    tensors = tensors_of(network)
    shapes = {name: shape for name, (shape, _) in tensors.items() if shape is not None}
    batch = fixed_batch(network)
    constants = {tensor.name: tensor for tensor in graph.initializer} | _constant_nodes(graph)
    made = {output: node for node in graph.node for output in node.output}
    names = _names(graph)
    texts, source = NodeTexts(network.model), _sources(graph, names, constants)
    layers = []
    for node, name in zip(graph.node, names, strict=True):
        if node.op_type == "Constant":
            continue
        weights = [] if node.op_type in _QUANTIZERS else _weights(node, constants, made)
        shape, kind = tensors.get(node.output[0], (None, 0))
        size = _TYPES.get(kind, ("", 0))[1]
        operations = operations_of(node, shapes)
        folded = bool(node.input) and all(each in constants for each in node.input)
        layers.append(
            Layer(
                name,
                node.op_type,
                shape,
                _precision(node, tensors, made),
                sum(prod(tensor.dims) for tensor in weights),
                None if operations is None else operations // batch,
                sum(prod(tensor.dims) * _TYPES.get(tensor.data_type, ("", 0))[1] for tensor in weights),
                None if shape is None or not size else 0 if folded else prod(shape) * size // batch,
                digest_of(weights) if digests and weights else "",
                texts.attributes(node, lambda name: source(name).text) if digests else (),
                _inputs(node, {tensor.name for tensor in weights}, source) if digests else (),
            )
        )
    return tuple(layers)


def totals_of(network: Network, layers: tuple[Layer, ...]) -> Totals:
    """The sums; quantizers' scales and the values of shapes are no parameters."""
    graph = network.model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer} | _constant_nodes(graph)
    made = {output: node for node in graph.node for output in node.output}
    used = {
        tensor.name: tensor
        for node in graph.node
        if node.op_type not in (*_QUANTIZERS, "Constant")
        for tensor in _weights(node, constants, made)
    }
    return Totals(
        len(layers),
        sum(prod(tensor.dims) for tensor in used.values()),
        sum(layer.operations or 0 for layer in layers),
        sum(prod(tensor.dims) * _TYPES.get(tensor.data_type, ("", 0))[1] for tensor in used.values()),
        sum(layer.output_bytes or 0 for layer in layers),
    )


def outputs_of(network: Network) -> dict[str, Source]:
    """What makes each output of the network."""
    graph = network.model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer} | _constant_nodes(graph)
    source = _sources(graph, _names(graph), constants)
    return {value.name: source(value.name) for value in graph.output}


def _names(graph: onnx.GraphProto) -> list[str]:
    """A name for every node; ONNX wants none and lets two share one: the second gets a number."""
    seen: Counter[str] = Counter()
    names = []
    for node in graph.node:
        name = node.name or node.output[0]
        seen[name] += 1
        names.append(f"{name} ({seen[name]})" if seen[name] > 1 else name)
    return names


def _sources(
    graph: onnx.GraphProto, names: list[str], constants: Mapping[str, onnx.TensorProto]
) -> Callable[[str], Source]:
    """What a tensor comes from, by its name, which does not appear in the answer."""
    made = {
        output: (node, Source("layer", name, place))
        for node, name in zip(graph.node, names, strict=True)
        for place, output in enumerate(node.output)
    }

    def source(tensor: str) -> Source:
        if not tensor:
            return Source("none")
        if tensor in constants:
            return Source("constant", tensor_text(constants[tensor]))
        if tensor not in made:
            return Source("input", tensor)
        node, layer = made[tensor]
        return Source("constant", constant_text(node)) if node.op_type == "Constant" else layer

    return source


def _inputs(node: onnx.NodeProto, learned: set[str], source: Callable[[str], Source]) -> tuple[Source, ...]:
    """Learned values are not told apart here: the digest of `weights` does that."""
    return tuple(WEIGHTS if name in learned else source(name) for name in node.input)


def _constant_nodes(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """The tensors of Constant nodes, under the name of what they make."""
    import onnx

    constants = {}
    for node in graph.node:
        if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].HasField("t"):
            tensor = onnx.TensorProto()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            constants[node.output[0]] = tensor
    return constants


def _weights(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], made: Mapping[str, onnx.NodeProto]
) -> list[onnx.TensorProto]:
    """The learned values of a node: floating-point constants, and those that a Q/DQ pair or a cast stands before."""
    weights = []
    for name in node.input:
        source, through = name, False
        while source not in constants and source in made and made[source].op_type in (*_QUANTIZERS, "Cast"):
            source, through = made[source].input[0], True
        tensor = constants.get(source)
        if tensor is not None and (through or _TYPES.get(tensor.data_type, ("int", 0))[0].startswith(("fp", "bf"))):
            weights.append(tensor)
    return weights


def _precision(
    node: onnx.NodeProto,
    tensors: Mapping[str, tuple[tuple[int, ...] | None, int]],
    made: Mapping[str, onnx.NodeProto],
) -> str:
    """The type of what goes in; int8 or fp8 where a weighted layer's image and weight are both dequantized."""
    if not node.input:
        return _TYPES.get(tensors.get(node.output[0], (None, 0))[1], ("unknown", 0))[0]
    sources = [made.get(name) for name in node.input[:2]]
    if len(sources) == 2 and all(source is not None and source.op_type == "DequantizeLinear" for source in sources):
        first = sources[0]
        assert first is not None
        kind = tensors.get(first.input[0], (None, 0))[1]
        return _TYPES.get(kind, ("int8", 0))[0].replace("uint8", "int8")
    return _TYPES.get(tensors.get(node.input[0], (None, 0))[1], ("unknown", 0))[0]
