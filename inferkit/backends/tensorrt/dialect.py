"""What ONNX allows and TensorRT's parser does not read, said in words that it reads."""

from __future__ import annotations

import string

import onnx

from inferkit.precision.fold import fold_constants
from inferkit.precision.graph import Graph
from inferkit.precision.nodes import attribute, set_attribute


def readable(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, or where the parser would refuse it another that computes the same; `model` itself is untouched.

    The letters of an Einsum become lower case, without spaces. Weights that are normalized in the graph (by a
    BatchNormalization in training mode, as exporters write weight standardization) are computed ahead.
    """
    nodes = model.graph.node
    if any(node.op_type == "BatchNormalization" and attribute(node, "training_mode", 0) for node in nodes):
        graph = Graph(model)
        fold_constants(graph)
        graph.prune()
        model = graph.model()
    if any(_plain(node) != attribute(node, "equation") for node in model.graph.node if node.op_type == "Einsum"):
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        for node in changed.graph.node:
            if node.op_type == "Einsum":
                set_attribute(node, "equation", _plain(node))
        return changed
    return model


def _plain(einsum: onnx.NodeProto) -> str:
    """Its equation with the letters a, b, c, … in the order in which they come; as it is where these do not suffice."""
    equation = str(attribute(einsum, "equation", "")).replace(" ", "")
    letters = list(dict.fromkeys(letter for letter in equation if letter.isalpha()))
    if equation.islower() or len(letters) > len(string.ascii_lowercase):
        return equation
    return equation.translate({ord(old): new for old, new in zip(letters, string.ascii_lowercase, strict=False)})
