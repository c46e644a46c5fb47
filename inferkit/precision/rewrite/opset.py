"""Converts a graph to a later operator set, and compares the result with the graph before it.

onnx's converter passes over operators whose meaning changed without a change of form: Hardmax flattened its input below
operator set 13, and Resize of set 10 (Upsample before it) took other coordinates. These are put right here; anything
else that it changes is found by running both graphs in ONNX Runtime.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from inferkit.errors import PrecisionError
from inferkit.network.as_written import session_as_written
from inferkit.network.batch_axis import batch_axes
from inferkit.network.network import dims_of
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import attribute, set_attribute

# Both graphs run the same FP32 kernels; a softmax that is flattened first may sum in another order.
_TOLERATED = 1e-4
# Sizes tried for dimensions that are open besides the batch: the first with which the graph runs is taken.
_OPEN_SIZES = (32, 64, 224, 7, 1)
# What draws random numbers computes something else in every run.
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


def convert(graph: Graph, version: int, notes: list[str] | None = None) -> Graph:
    """`graph` in operator set `version`; itself if it is that or newer.

    PrecisionError where onnx cannot convert it, and, with the first node, where the result computes something else
    on random inputs. `notes` is told where they could not be compared.
    """
    if graph.opset >= version:
        return graph
    old = Graph(graph.model())
    _flatten_hardmax(old)
    converted = old.with_opset(version)
    if graph.opset <= 10:  # there is no later Resize in such a graph
        _restore_coordinates(converted)
    if not _compare(graph, converted) and notes is not None:
        notes.append(
            f"the conversion from operator set {graph.opset} to {version} was not checked: ONNX Runtime does not run "
            "the network with the sizes that were tried; state its open sizes (--input-shape)"
        )
    return converted


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
        shrinks = scales is not None and bool((scales < 1).any())
        set_attribute(node, "nearest_mode", "ceil" if shrinks else "floor")
        if shrinks and scales is not None and (scales > 1).any():
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


def _compare(base: Graph, head: Graph) -> bool:
    """PrecisionError with the first node whose result `head` computes differently from `base`, on random inputs.

    False where ONNX Runtime cannot run them. Graphs that draw random numbers are not compared either.
    """
    if any(node.op_type in _RANDOM for node in base.nodes):
        return True
    fed = _run_base(base)
    if fed is None:
        return False
    feeds, expected = fed
    try:
        found = _run(head.model(), feeds)
    except Exception as error:  # ONNX Runtime's exceptions have no common class below Exception
        if type(error).__name__ == "NotImplemented":  # it lacks the kernel; other engines may have it
            return True
        raise PrecisionError(
            f"conversion from operator set {base.opset} to {head.opset} gives a graph that ONNX Runtime refuses: "
            f"{error}; export the model again with opset_version={head.opset}"
        ) from error
    if not _differing(expected, found):
        return True
    shared = [name for node in base.sorted_nodes() for name in node.output if name and head.producer(name) is not None]
    expected = _run(_watched(base, shared), feeds)
    found = _run(_watched(head, shared), feeds)
    wrong = _differing(expected, found)[:1]
    producer = base.producer(wrong[0]) if wrong else None
    where = f"node {producer.name!r} ({producer.op_type})" if producer is not None else "an output"
    raise PrecisionError(
        f"conversion from operator set {base.opset} to {head.opset} changes what {where} computes; export the model "
        f"again with opset_version={head.opset}, or use a precision that needs no newer operator set"
    )


def _run_base(graph: Graph) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]] | None:
    """Random inputs and what the graph makes of them; None where it runs with none of the sizes tried."""
    model = graph.model()
    axes, _ = batch_axes([dims_of(value) for value in graph.inputs], [])
    for size in _OPEN_SIZES:
        try:
            feeds = {value.name: _random(value, size, axis) for value, axis in zip(graph.inputs, axes, strict=True)}
            return feeds, _run(model, feeds)
        except Exception:  # ONNX Runtime's exceptions have no common class below Exception
            continue
    return None


def _random(value: onnx.ValueInfoProto, size: int, batch_axis: int | None) -> NDArray[Any]:
    """Normal numbers, zeros and ones where the input is of integers; 2 along an open batch, else `size`."""
    dims = enumerate(dims_of(value))
    shape = [dim if isinstance(dim, int) else 2 if axis == batch_axis else size for axis, dim in dims]
    random = np.random.default_rng(list(value.name.encode()))
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    return np.asarray(random.standard_normal(shape) if dtype.kind == "f" else random.integers(0, 2, shape)).astype(
        dtype
    )


def _run(model: onnx.ModelProto, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    session = session_as_written(model)
    names = list(dict.fromkeys(output.name for output in session.get_outputs()))
    return dict(zip(names, session.run(names, feeds), strict=True))


def _watched(graph: Graph, names: list[str]) -> onnx.ModelProto:
    """The model with the tensors `names` as its outputs."""
    model = graph.model()
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return model


def _differing(expected: dict[str, NDArray[Any]], found: dict[str, NDArray[Any]]) -> list[str]:
    return [name for name, value in expected.items() if not _is_close(value, found[name])]


def _is_close(expected: Any, found: Any) -> bool:
    if not isinstance(expected, np.ndarray) or expected.dtype.kind != "f":
        return bool(np.array_equal(expected, found))
    if expected.shape != found.shape:
        return False
    finite = np.abs(expected[np.isfinite(expected)])
    largest = float(finite.max()) if finite.size else 0.0
    return bool(np.allclose(found, expected, rtol=_TOLERATED, atol=_TOLERATED * largest, equal_nan=True))
