"""ONNX Runtime's profile as a layer table: which layers of the network each node of the optimized graph computes.

The optimizer renames what it rewrites (`conv1_nchwc`, `fused ip1`, `X_codes_token_2`) and drops what it fuses. A
network's layer that has no node of its own was fused into the last one that computes an input of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inferkit.backends.layer_table import LayerRow, LayerTable

if TYPE_CHECKING:
    import onnx

    from inferkit.backends.onnxruntime.profile import NodeTime
    from inferkit.network.network import Network

# What ONNX Runtime's optimizer and our integer rewriting put around a name; as seen with ONNX Runtime 1.31.
_AFFIX = re.compile(
    r"^(?:fused |InsertedPrecisionFreeCast_|InsertedCast_)|(?:_token_\d+|_nchwc|_nhwc|_codes|_quant|_float)$"
)
# Never a layer of its own: a change of type, or what a backend drops.
_COPIES = ("QuantizeLinear", "DequantizeLinear", "Cast", "Transpose", "ReorderInput", "ReorderOutput")
_TRANSPARENT = ("QuantizeLinear", "DequantizeLinear", "Cast", "Identity", "Constant", "Dropout")


def onnx_layers(times: Sequence[NodeTime], network: Network) -> LayerTable:
    """The table of a profile of `network`, in the order of execution. A copy is named by the layer before it."""
    nodes = {node.name or node.output[0]: node for node in network.model.graph.node}
    makers = {output: name for name, node in nodes.items() for output in node.output}
    own = [_named(time, nodes, makers) for time in times]
    origins = [[name] if name else [] for name in own]
    held: dict[str, int | None] = {name: position for position, name in enumerate(own) if name}
    for name, node in nodes.items():
        if name not in held:
            found = [position for each in node.input if (position := held.get(makers.get(each, ""))) is not None]
            held[name] = max(found, default=None)
            if found and node.op_type not in _TRANSPARENT:
                origins[max(found)].append(name)
    rows, before = [], "the input"
    for time, name, computed in zip(times, own, origins, strict=True):
        kernel = f"{time.op} (nchwc)" if "_nchwc" in time.node else time.op
        shown = name or f"{time.op} after {before}"
        rows.append(LayerRow(shown, time.op, time.precision, kernel, "", time.seconds, tuple(computed)))
        before = name or before
    return tuple(rows)


def _named(time: NodeTime, nodes: Mapping[str, onnx.NodeProto], makers: Mapping[str, str]) -> str | None:
    """The layer that a node's name means; None where it is one that the backend added."""
    found = _meant(time.node, nodes, makers)
    if found is not None and time.op in _COPIES and nodes[found].op_type != time.op:
        return None
    return found


def _meant(name: str, nodes: Mapping[str, onnx.NodeProto], makers: Mapping[str, str]) -> str | None:
    while True:
        bare = _AFFIX.sub("", name, count=1)
        if name.endswith("_codes") and bare in makers:  # named by the tensor that it makes
            return makers[bare]
        if name in nodes and nodes[name].op_type not in _TRANSPARENT:
            return name
        if name in makers and nodes[makers[name]].op_type not in _TRANSPARENT:
            return makers[name]
        if bare == name:
            return None
        name = bare
