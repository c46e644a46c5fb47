"""Converts a graph to a later operator set, and compares the result with the graph before it.

onnx's converter passes over operators whose meaning changed without a change of form: Hardmax flattened its input below
operator set 13, Resize of set 10 (Upsample before it) took other coordinates, and the mask of Dropout was false. These
are put right here, in bodies too; anything else that it changes is found by running both graphs in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper

from inferkit.precision.comparison.check import require_same
from inferkit.precision.rewrite.feeds import random_feeds
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import attribute, set_attribute, subgraphs


def convert(graph: Graph, version: int, notes: list[str] | None = None) -> Graph:
    """`graph` in operator set `version`; itself if it is that or newer.

    PrecisionError where onnx cannot convert it, and, with the first node, where the result computes something else
    on random inputs. `notes` get what could not be compared.
    """
    if graph.opset >= version:
        return graph
    old = graph.copy()
    _flatten_hardmax(old)
    if version >= 12:
        _state_masks(old)
    converted = old.with_opset(version)
    if graph.opset <= 10:  # there is no later Resize in such a graph
        _restore_coordinates(converted)
    what = f"conversion from operator set {graph.opset} to {version}"
    feeds = random_feeds(graph)
    if feeds is None:
        unchecked: tuple[str, ...] = (
            f"the {what} was not checked: ONNX Runtime does not run the network with the sizes that were tried; state "
            "its open sizes (--input-shape)",
        )
    else:
        hint = (
            f"export the model again with opset_version={version}, or use a precision that needs no newer operator set"
        )
        unchecked = require_same(graph, converted, feeds, what, hint)
    if notes is not None:
        notes += unchecked
    return converted


def _rewrite(graph: Graph, replaced: Callable[[onnx.NodeProto], list[onnx.NodeProto]]) -> None:
    """Put what `replaced` returns in the place of each node of the default domain, in the bodies of If and Loop too."""

    def of(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
        for node in nodes:
            for body in subgraphs(node):
                inner = [onnx.NodeProto.FromString(each.SerializeToString()) for each in of(body.node)]
                del body.node[:]
                body.node.extend(inner)
            yield from replaced(node) if node.domain in ("", "ai.onnx") else [node]

    graph.nodes = list(of(graph.nodes))
    graph.touched()


def _flatten_hardmax(graph: Graph) -> None:
    """Hardmax below operator set 13 puts a single one into all that follows `axis`: flattened, later sets do too."""

    def replaced(node: onnx.NodeProto) -> list[onnx.NodeProto]:
        if node.op_type != "Hardmax":
            return [node]
        source, result, name = node.input[0], node.output[0], node.name or node.output[0]
        shape, flat, ones = (graph.fresh(f"{name}_{part}") for part in ("shape", "flat", "ones"))
        axis = int(attribute(node, "axis", 1))
        return [
            helper.make_node("Shape", [source], [shape], shape),
            helper.make_node("Flatten", [source], [flat], flat, axis=axis),
            helper.make_node("Hardmax", [flat], [ones], name, axis=1),
            helper.make_node("Reshape", [ones, shape], [result], f"{name}_unflattened"),
        ]

    if graph.opset < 13:
        _rewrite(graph, replaced)


def _state_masks(graph: Graph) -> None:
    """The mask of Dropout is false below operator set 12 (as ONNX Runtime computes it), and true from there on."""

    def replaced(node: onnx.NodeProto) -> list[onnx.NodeProto]:
        if node.op_type != "Dropout" or len(node.output) < 2 or not node.output[1]:
            return [node]
        mask, shape = node.output[1], graph.fresh(f"{node.output[1]}_shape")
        del node.output[1:]
        zero = np.zeros(1, "float32" if graph.opset < 10 else "bool")
        return [
            node,
            helper.make_node("Shape", [node.input[0]], [shape], shape),
            helper.make_node("ConstantOfShape", [shape], [mask], mask, value=numpy_helper.from_array(zero)),
        ]

    if 9 <= graph.opset < 12:  # below, no operator makes a constant of a computed shape
        _rewrite(graph, replaced)


def _restore_coordinates(graph: Graph) -> None:
    """State what Resize meant up to operator set 10: asymmetric; the nearest pixel is the one below, or, on an axis
    that gets smaller, the one above (as ONNX Runtime computes it)."""

    def replaced(node: onnx.NodeProto) -> list[onnx.NodeProto]:
        if node.op_type != "Resize":
            return [node]
        set_attribute(node, "coordinate_transformation_mode", "asymmetric")
        if attribute(node, "mode", "nearest") != "nearest":
            return [node]
        scales = graph.array(node.input[2])
        if scales is not None and not ((scales < 1).any() and (scales > 1).any()):
            set_attribute(node, "nearest_mode", "ceil" if (scales < 1).any() else "floor")
            return [node]
        return _grown_then_shrunk(graph, node)

    _rewrite(graph, replaced)


def _grown_then_shrunk(graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """A Resize that may make some axes larger and some smaller as two, since each direction rounds its own way."""
    source, scales, name = node.input[0], node.input[2], node.name or node.output[0]
    one = graph.add_constant(f"{name}_one", np.ones(1, np.float32))  # bodies see the constants around them
    larger, smaller, between = (graph.fresh(f"{name}_{part}") for part in ("larger", "smaller", "between"))
    grown = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    del node.input[:]
    node.input.extend([between, "", smaller])
    set_attribute(node, "nearest_mode", "ceil")
    return [
        helper.make_node("Max", [scales, one], [larger], larger),
        helper.make_node("Min", [scales, one], [smaller], smaller),
        helper.make_node("Resize", [source, "", larger], [between], between, **grown),
        node,
    ]
