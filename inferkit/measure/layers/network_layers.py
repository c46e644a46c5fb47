"""The layers of a network: shape, parameters, operations, bytes, and the precision that it computes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from math import ceil, prod
from typing import TYPE_CHECKING, Any

from inferkit.measure.layers.node_text import NodeTexts, constant_text, digest_of, tensor_text
from inferkit.measure.layers.roofline import fixed_batch
from inferkit.precision.work.operations import TYPES, bytes_of, operations_of, precision_of, remarks_of, weights_of
from inferkit.precision.work.scope import constant_nodes, scope_of

if TYPE_CHECKING:
    import onnx

    from inferkit.network.network import Network


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
    scope = scope_of(network)
    batch, constants = fixed_batch(network), scope.constants
    names = _names(scope.nodes)
    texts, source = NodeTexts(network.model), _sources(scope.nodes, names, constants)
    layers = []
    for node, name in zip(scope.nodes, names, strict=True):
        if node.op_type == "Constant":
            continue
        weights = weights_of(node, scope)
        shape, kind = scope.shape(node.output[0]), scope.element(node.output[0])
        size = TYPES.get(kind, ("", 0))[1]
        operations = operations_of(node, scope)
        folded = bool(node.input) and all(each in constants for each in node.input)
        layers.append(
            Layer(
                name,
                node.op_type,
                shape,
                precision_of(node, scope),
                sum(prod(tensor.dims) for tensor in weights),
                None if operations is None else operations // batch,
                sum(map(bytes_of, weights)),
                None if shape is None or not size else 0 if folded else ceil(prod(shape) * size) // batch,
                digest_of(weights) if digests and weights else "",
                texts.attributes(node, lambda name: source(name).text) if digests else (),
                _inputs(node, {tensor.name for tensor in weights}, source) if digests else (),
            )
        )
    return tuple(layers)


def totals_of(network: Network, layers: tuple[Layer, ...]) -> Totals:
    """The sums; quantizers' scales and the values of shapes are no parameters."""
    scope = scope_of(network)
    used = {id(tensor): tensor for node in scope.nodes for tensor in weights_of(node, scope)}.values()
    return Totals(
        len(layers),
        sum(prod(tensor.dims) for tensor in used),
        sum(layer.operations or 0 for layer in layers),
        sum(map(bytes_of, used)),
        sum(layer.output_bytes or 0 for layer in layers),
    )


def remarks_on(network: Network) -> tuple[str, ...]:
    """What the count of operations leaves open, one sentence each."""
    return tuple(remarks_of(scope_of(network)))


def outputs_of(network: Network) -> dict[str, Source]:
    """What makes each output of the network."""
    graph = network.model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer} | constant_nodes(graph.node)
    source = _sources(graph.node, _names(graph.node), constants)
    return {value.name: source(value.name) for value in graph.output}


def _names(nodes: Iterable[onnx.NodeProto]) -> list[str]:
    """A name for every node; ONNX wants none and lets two share one: the second gets a number."""
    seen: Counter[str] = Counter()
    names = []
    for node in nodes:
        name = node.name or node.output[0]
        seen[name] += 1
        names.append(f"{name} ({seen[name]})" if seen[name] > 1 else name)
    return names


def _sources(
    nodes: Iterable[onnx.NodeProto], names: list[str], constants: Mapping[str, onnx.TensorProto]
) -> Callable[[str], Source]:
    """What a tensor comes from, by its name, which does not appear in the answer."""
    made = {
        output: (node, Source("layer", name, place))
        for node, name in zip(nodes, names, strict=True)
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
