"""ONNX Runtime's profile as a layer table: which layers of the network each node of the optimized graph computes.

The optimizer renames what it rewrites (`conv1_nchwc`, `fused ip1`, `BiasGelu`) and drops what it fuses, but keeps the
names of most tensors. So a row is found by its tensors: it computes every layer between the tensors that other rows
make and its own. Names of nodes count where a tensor's name is lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from inferkit.backends.layer_table import LayerRow, LayerTable

if TYPE_CHECKING:
    from inferkit.backends.onnxruntime.profile import NodeTime
    from inferkit.network.network import Network

# What ONNX Runtime's optimizer and our integer rewriting put around a name; as seen with ONNX Runtime 1.32.
_AFFIX = re.compile(
    r"^(?:fused |InsertedPrecisionFreeCast_|InsertedCast_)|(?:_token_\d+|_nchwc|_nhwc|_codes|_quant|_float)$"
)
_BY_TENSOR = ("_codes", "_nchwc")  # nodes that are named by the tensor that they make
_KERNEL = re.compile(r"^(?:Fused|QLinear)")  # what a kernel's operator has before the layer's
# Rows that only change type or layout, which a backend adds and drops as it likes.
_MOVES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
_COPIES = (*_MOVES, "QuantizeLinear", "DequantizeLinear", "Cast", "ReorderInput", "ReorderOutput")
# Kernels that do the counted work, whatever else is fused into them.
_MULTIPLYING = re.compile(r"Conv|Gemm|MatMul|Attention|LSTM|GRU|RNN")
_TRANSPARENT = ("QuantizeLinear", "DequantizeLinear", "Cast", "Identity", "Constant", "Dropout")


def onnx_layers(times: Sequence[NodeTime], network: Network) -> LayerTable:
    """The table of a profile of `network`, in the order of execution. A copy is named by the layer before it."""
    rows, before = [], "the input"
    for time, layers in zip(times, _Attribution(network).layers(times), strict=True):
        kernel = f"{time.op} (nchwc)" if "_nchwc" in time.node else time.op
        shown = layers[0] if layers else f"{time.op} after {before}"
        multiplies = _MULTIPLYING.search(time.op) is not None
        rows.append(LayerRow(shown, time.op, _precision(time), kernel, "", time.seconds, tuple(layers), multiplies))
        before = shown if layers else before
    return tuple(rows)


def _precision(time: NodeTime) -> str:
    """The type of what goes in; some operators quantize it themselves before they multiply."""
    quantizes = time.op.startswith("DynamicQuantize") and _MULTIPLYING.search(time.op)
    return "int8" if quantizes else time.precision


class _Attribution:
    """The layers of one network, found again in the nodes that were run. Every layer is given to one of them."""

    def __init__(self, network: Network) -> None:
        self._nodes = {node.name or node.output[0]: node for node in network.model.graph.node}
        self._makers = {output: name for name, node in self._nodes.items() for output in node.output if output}
        self._order = {name: position for position, name in enumerate(self._nodes)}

    def layers(self, times: Sequence[NodeTime]) -> list[list[str]]:
        """Of each row the layers that it computes, first the one that it is named by; none for a copy."""
        made = self._made(times)
        boundaries = {tensor for tensors in made for tensor in tensors}
        rows: dict[str, int] = {}  # of every node of the network
        computed = []
        for position, (time, tensors) in enumerate(zip(times, made, strict=True)):
            nodes = self._between(tensors, boundaries, rows)
            rows |= dict.fromkeys(nodes, position)
            layers = [name for name in nodes if self._nodes[name].op_type not in _TRANSPARENT]
            computed.append(sorted(layers, key=partial(self._rank, time)))
        self._add_lost(rows, computed)
        return computed

    def _made(self, times: Sequence[NodeTime]) -> list[tuple[str, ...]]:
        """The tensors of the network that each row makes. A copy makes none: what makes its input does."""
        names: dict[str, str] = {}  # of tensors of the optimized graph, in the network
        for time in times:
            for tensor in time.outputs:
                if (name := self._tensor(tensor)) is not None:
                    names[tensor] = name
        made: list[tuple[str, ...]] = []
        for time in reversed(times):
            tensors = tuple(names[tensor] for tensor in time.outputs if tensor in names) or self._by_name(time)
            if time.op in _COPIES and not any(self._op_of(tensor) in _MOVES for tensor in tensors):
                if tensors and time.inputs:
                    names.setdefault(time.inputs[0], tensors[0])
                tensors = ()
            made.append(tensors)
        return made[::-1]

    def _between(self, made: Sequence[str], boundaries: set[str], rows: dict[str, int]) -> list[str]:
        """The nodes of the network that compute `made` from the boundaries, but for those that have a row."""
        waiting, found = list(made), dict[str, None]()
        while waiting:
            name = self._makers.get(waiting.pop())
            if name is None or name in rows or name in found:
                continue
            found[name] = None
            waiting += [tensor for tensor in self._nodes[name].input if tensor not in boundaries]
        return list(found)

    def _add_lost(self, rows: dict[str, int], computed: list[list[str]]) -> None:
        """Layers whose tensors are all gone belong to the last row that computes an input of them."""
        for name, node in self._nodes.items():
            if name in rows:
                continue
            inputs = [rows[maker] for each in node.input if (maker := self._makers.get(each, "")) in rows]
            if inputs:
                rows[name] = max(inputs)
                if node.op_type not in _TRANSPARENT:
                    computed[max(inputs)].append(name)

    def _rank(self, time: NodeTime, name: str) -> tuple[bool, int]:
        """The layer that the row's kernel is for comes first; then the order of the network."""
        return self._nodes[name].op_type != _KERNEL.sub("", time.op), self._order[name]

    def _tensor(self, name: str) -> str | None:
        """The tensor of the network that one of the optimized graph is."""
        while name not in self._makers:
            bare = _AFFIX.sub("", name, count=1)
            if bare == name:
                return None
            name = bare
        return name

    def _op_of(self, tensor: str) -> str:
        """The operator of the layer that computes a tensor's values: what only changes their type is passed over."""
        while (name := self._makers.get(tensor)) is not None:
            node = self._nodes[name]
            if node.op_type not in _TRANSPARENT:
                return node.op_type
            tensor = next(iter(node.input), "")
        return ""

    def _by_name(self, time: NodeTime) -> tuple[str, ...]:
        """What a row makes by the node's name alone."""
        name = time.node
        while True:
            bare = _AFFIX.sub("", name, count=1)
            if name.endswith(_BY_TENSOR) and bare in self._makers:
                return (bare,)
            if name in self._nodes and self._nodes[name].op_type not in _TRANSPARENT:
                return tuple(self._nodes[name].output)
            if name in self._makers:
                return (name,)
            if bare == name:
                return ()
            name = bare
