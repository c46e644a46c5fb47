"""The tensors that base and head both compute, by which of head's nodes, and when they can be compared.

Each is compared by itself: head's nodes are given base's values wherever both graphs have the tensor. So errors do not
add up from layer to layer, and a network that amplifies them (random weights, a choice of the largest) is no exception.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

import onnx

from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import captured


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of both graphs: base's `node` computes it, head's `chain` from the tensors `leaves`.

    Leaves are head's names, each with base's name of the tensor. The chain is empty where head has it as a constant.
    All of it can be run after base's node number `due`.
    """

    name: str
    node: onnx.NodeProto
    chain: tuple[onnx.NodeProto, ...]
    leaves: Mapping[str, str]
    due: int

    @property
    def index(self) -> int:
        """Which of its node's outputs it is."""
        return list(self.node.output).index(self.name)

    @property
    def twin(self) -> onnx.NodeProto | None:
        """Head's node of the same name, operator and number of inputs."""
        alike = (n for n in self.chain if n.name == self.node.name and n.op_type == self.node.op_type)
        return next((n for n in alike if len(n.input) == len(self.node.input)), None)


def reads(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads, those that its subgraphs read included."""
    return [name for name in (*node.input, *captured(node)) if name]


def upstream(
    graph: Graph, wanted: Iterable[str], stop: Container[str], but: Container[str] = ()
) -> tuple[list[onnx.NodeProto], list[str]]:
    """The nodes that compute `wanted`, and the tensors that they need: inputs, and those in `stop`, not in `but`."""
    nodes: dict[int, onnx.NodeProto] = {}
    leaves: dict[str, None] = {}
    pending = [producer for name in wanted if (producer := graph.producer(name)) is not None]
    while pending:
        node = pending.pop()
        if id(node) in nodes:
            continue
        nodes[id(node)] = node
        for name in reads(node):
            if name in graph.constants:
                continue
            producer = None if name in stop and name not in but else graph.producer(name)
            if producer is None:
                leaves[name] = None
            else:
                pending.append(producer)
    return list(nodes.values()), list(leaves)


def common_tensors(base: Graph, order: list[onnx.NodeProto], head: Graph) -> dict[int, list[Tensor]]:
    """The tensors of both graphs by the number of the node, in base's `order`, after which they can be compared."""
    computed = {name: number for number, node in enumerate(order) for name in node.output if name}
    computed |= dict.fromkeys(base.input_names, -1)
    shared = {name for name in computed if head.producer(name) is not None} | set(base.input_names)
    inner = _inner_names(base, head, shared)
    own: dict[str, set[str]] = defaultdict(set)
    for name, shown in inner.items():
        own[shown].add(name)
    due: dict[int, list[Tensor]] = defaultdict(list)
    for number, node in enumerate(order):
        for name in node.output:
            if name in head.constants:
                due[number].append(Tensor(name, node, (), {}, number))
            elif name in shared:
                chain, reached = upstream(head, [name], inner, own[name])
                leaves = {leaf: inner.get(leaf, leaf) for leaf in reached}
                last = max([number, *(computed.get(leaf, number) for leaf in leaves.values())])
                due[last].append(Tensor(name, node, tuple(chain), leaves, last))
    return due


def _inner_names(base: Graph, head: Graph, shared: set[str]) -> dict[str, str]:
    """Head's names of `shared` tensors: their own, and that of an output which head computes in half and then casts."""
    names = {name: name for name in shared}
    for node in head.nodes:
        if node.op_type == "Cast" and node.output[0] in shared and node.input[0] not in names:
            producer = base.producer(node.output[0])
            if producer is not None and producer.op_type != "Cast":
                names[node.input[0]] = node.output[0]
    return names


def last_uses(order: list[onnx.NodeProto], due: dict[int, list[Tensor]]) -> dict[int, list[str]]:
    """Which tensors of base nobody needs any more, by the number of the node after which that is so."""
    last: dict[str, int] = {}
    for number, node in enumerate(order):
        for name in (*reads(node), *node.output):
            last[name] = number
    for number, tensors in due.items():
        for tensor in tensors:
            for name in (tensor.name, *tensor.leaves.values(), *reads(tensor.node)):
                last[name] = max(number, last.get(name, 0))
    ended: dict[int, list[str]] = defaultdict(list)
    for name, number in last.items():
        ended[number].append(name)
    return ended
