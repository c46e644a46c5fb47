"""Takes every branch of an If, whatever the inputs at hand make of its condition: each may have been rewritten wrongly.

The conditions of an If, and of those in its branches, become inputs: one for each depth, so that an If in a branch is
taken both ways under either choice around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
import onnx
from numpy.typing import NDArray

from inferkit.precision.rewrite.nodes import subgraphs

# Deeper ones follow the choice at this depth: each depth doubles the number of runs.
_DEEPEST = 3


def ways(node: onnx.NodeProto) -> Iterator[Mapping[str, NDArray[np.bool_]]]:
    """The ways through the branches of a node: for each, the values of the conditions that `forced` names.

    None where there is no If in it.
    """
    depth = min(_depth(node), _DEEPEST)
    for choices in product((True, False), repeat=depth) if depth else ():
        yield {_condition(level): np.array(choice) for level, choice in enumerate(choices)}


def forced(node: onnx.NodeProto) -> onnx.NodeProto:
    """A copy of the node in which each If reads the condition of its depth."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    _force(copy, 0)
    return copy


def taken(way: Mapping[str, NDArray[np.bool_]]) -> str:
    """A way in words."""
    return " and ".join(f"`{'then' if choice else 'else'}_branch`" for choice in way.values())


def _condition(level: int) -> str:
    return f"condition/{level}"


def _depth(node: onnx.NodeProto) -> int:
    inner = max((_depth(each) for body in subgraphs(node) for each in body.node), default=0)
    return inner + (node.op_type == "If")


def _force(node: onnx.NodeProto, level: int) -> None:
    is_if = node.op_type == "If"
    if is_if:
        node.input[0] = _condition(min(level, _DEEPEST - 1))
    for body in subgraphs(node):
        for inner in body.node:
            _force(inner, level + is_if)
