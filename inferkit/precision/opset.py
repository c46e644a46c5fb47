"""Converts a graph to a later operator set, and compares the result with the graph before it.

onnx's converter passes over operators whose meaning changed without a change of form: Hardmax flattened its input below
operator set 13, and Resize of set 10 (Upsample before it) took other coordinates. These are put right here; anything
else that it changes is found by running both graphs in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray

from inferkit.errors import PrecisionError
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
    _refuse_bodies(graph, version)
    old = graph.copy()
    _flatten_hardmax(old)
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


def _refuse_bodies(graph: Graph, version: int) -> None:
    """PrecisionError for an operator within If, Loop or Scan whose meaning changed: bodies are not put right."""
    changed = {*(("Hardmax",) if graph.opset < 13 else ()), *(("Resize", "Upsample") if graph.opset <= 10 else ())}
    inside = [(node, inner) for node in graph.nodes for body in subgraphs(node) for inner in _all_nodes(body)]
    for node, inner in inside:
        if inner.op_type in changed:
            raise PrecisionError(
                f"node {inner.name!r} ({inner.op_type}) in the body of {node.name!r} means something else from "
                f"operator set {graph.opset} to {version}: export the model again with opset_version={version}, or "
                "use a precision that needs no newer operator set"
            )


def _all_nodes(body: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in body.node:
        yield node
        for inner in subgraphs(node):
            yield from _all_nodes(inner)


def _flatten_hardmax(graph: Graph) -> None:
    """Hardmax below operator set 13 puts a single one into all that follows `axis`: flattened, later sets do too."""
    if graph.opset >= 13:
        return
    for node in [node for node in graph.nodes if node.op_type == "Hardmax" and node.domain in ("", "ai.onnx")]:
        source, result, name = node.input[0], node.output[0], node.name
        shape, flat, ones = (graph.fresh(f"{name}_{part}") for part in ("shape", "flat", "ones"))
        axis = int(attribute(node, "axis", 1))
        graph.remove(node)
        graph.add_node("Shape", [source], [shape], shape)
        graph.add_node("Flatten", [source], [flat], flat, axis=axis)
        graph.add_node("Hardmax", [flat], [ones], name, axis=1)
        graph.add_node("Reshape", [ones, shape], [result], f"{name}_unflattened")


def _restore_coordinates(graph: Graph) -> None:
    """State what Resize meant up to operator set 10: asymmetric; the nearest pixel is the one below, or, on an axis
    that gets smaller, the one above (as ONNX Runtime computes it)."""
    for node in [node for node in graph.nodes if node.op_type == "Resize" and node.domain in ("", "ai.onnx")]:
        set_attribute(node, "coordinate_transformation_mode", "asymmetric")
        if attribute(node, "mode", "nearest") != "nearest":
            continue
        scales = graph.array(node.input[2])
        if scales is None:
            raise PrecisionError(
                f"node {node.name!r} (Resize of operator set 10) has scales that are no constants, which say how to "
                "round. Export the model again with opset_version=13 or newer, or use a precision that needs no "
                "newer operator set"
            )
        shrinks = bool((scales < 1).any())
        set_attribute(node, "nearest_mode", "ceil" if shrinks else "floor")
        if shrinks and (scales > 1).any():
            _grow_first(graph, node, scales)
    graph.touched()


def _grow_first(graph: Graph, node: onnx.NodeProto, scales: NDArray[np.float32]) -> None:
    """Split a Resize that makes some axes larger and some smaller, since each direction rounds its own way."""
    larger = graph.add_constant(f"{node.name}_larger", np.maximum(scales, 1))
    smaller = graph.add_constant(f"{node.name}_smaller", np.minimum(scales, 1))
    between = graph.fresh(f"{node.name}_between")
    kept = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    graph.add_node("Resize", [node.input[0], "", larger], [between], between, **kept)
    del node.input[:]
    node.input.extend([between, "", smaller])
