"""Reads and changes single nodes: their attributes and subgraphs (the branches of If, the body of Loop)."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper

_WITHOUT_SUBGRAPHS = frozenset(
    {
        "Conv",
        "Relu",
        "Add",
        "Mul",
        "BatchNormalization",
        "Concat",
        "MaxPool",
        "QuantizeLinear",
        "DequantizeLinear",
        "Cast",
    }
)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of an attribute (text decoded), or `default` where the node does not have it."""
    for entry in node.attribute:
        if entry.name == name:
            value = helper.get_attribute_value(entry)
            return value.decode() if isinstance(value, bytes) else value
    return default


def set_attribute(node: onnx.NodeProto, name: str, value: Any) -> None:
    """Set an attribute; None removes it."""
    kept = [entry for entry in node.attribute if entry.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    if value is not None:
        node.attribute.append(helper.make_attribute(name, value))


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs in a node's attributes: the branches of If, the bodies of Loop and Scan."""
    if node.op_type in _WITHOUT_SUBGRAPHS:  # asked for every node, whenever an index is made
        return []
    single = [entry.g for entry in node.attribute if entry.type == onnx.AttributeProto.GRAPH]
    return single + [graph for entry in node.attribute for graph in entry.graphs]


def captured(node: onnx.NodeProto) -> list[str]:
    """The names that a node's subgraphs read from the graph around them."""
    return [name for graph in subgraphs(node) for name in _free_names(graph)]


def rename_reads(node: onnx.NodeProto, old: str, new: str) -> None:
    """Let `node` read `new` where it reads `old`, in its subgraphs too."""
    for index, name in enumerate(node.input):
        if name == old:
            node.input[index] = new
    for graph in subgraphs(node):
        if old not in _free_names(graph):
            continue
        for inner in graph.node:
            rename_reads(inner, old, new)
        for value in graph.output:
            if value.name == old:
                value.name = new


def _free_names(graph: onnx.GraphProto) -> list[str]:
    defined = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    free: dict[str, None] = {}
    for node in graph.node:
        for name in (*node.input, *captured(node)):
            if name and name not in defined:
                free[name] = None
        defined.update(node.output)
    for value in graph.output:
        if value.name not in defined:
            free[value.name] = None
    return list(free)
