"""Constants are folded to what ONNX Runtime computes when it meets them, type and bits alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from inferkit.precision.rewrite.fold import fold_constants
from inferkit.precision.rewrite.graph import Graph

PIXELS = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
LONG = 2**53 + 1  # no double holds it


def model(op: str, *constants: Any, opset: int = 17, outputs: int = 1, **attributes: Any) -> onnx.ModelProto:
    """A node that reads constants alone (None: an optional input that is left out); its results are outputs."""
    names = ["" if value is None else f"c{index}" for index, value in enumerate(constants)]
    results = [f"r{index}" for index in range(outputs)]
    nodes = [helper.make_node(op, names, results, "node", **attributes)]
    nodes += [helper.make_node("Reshape", [result, "all"], [f"y{i}"]) for i, result in enumerate(results)]
    tensors = [numpy_helper.from_array(np.asarray(v), n) for v, n in zip(constants, names, strict=True) if n]
    tensors.append(numpy_helper.from_array(np.array([-1], np.int64), "all"))
    # Names that no node makes output keep the graph from being empty once all is folded.
    values = [helper.make_empty_tensor_value_info(f"y{i}") for i in range(outputs)]
    graph = helper.make_graph(nodes, "constants", [], values, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def by_onnxruntime(base: onnx.ModelProto) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return list(onnxruntime.InferenceSession(base.SerializeToString(), options).run(None, {}))


CASES = {
    # Where onnx's reference evaluator computes something else (onnx 1.23)
    "Softmax 11 flattens": model("Softmax", PIXELS[0], opset=11),
    "Hardmax 11 flattens": model("Hardmax", PIXELS[0], opset=11),
    "Resize, corners": model(
        *("Resize", PIXELS, None, np.float32([1, 1, 1.7, 2.3])),
        mode="linear",
        coordinate_transformation_mode="align_corners",
    ),
    "Resize, nearest": model(
        *("Resize", PIXELS, None, np.float32([1, 1, 0.6, 0.6])), mode="nearest", nearest_mode="floor"
    ),
    "Resize to one pixel": model(
        *("Resize", PIXELS, None, np.float32([1, 1, 0.3, 0.3])),
        mode="linear",
        coordinate_transformation_mode="pytorch_half_pixel",
    ),
    "Pow to a negative power": model("Pow", np.int64([2, -3]), np.int64([-1, 3])),
    "Range of thirds": model("Range", np.float32(0), np.float32(2), np.float32(0.1)),
    "Upsample 9": model("Upsample", PIXELS, np.float32([1, 1, 1.5, 1.5]), opset=9, mode="nearest"),
    # Types and values that a detour would lose
    "int64": model("Add", np.int64([LONG]), np.int64([1])),
    "double": model("Mul", np.float64([0.1]), np.float64([1 / 3])),
    "float16": model("Add", np.float16([2048, 0.1]), np.float16([1, 0.2])),
    "bool": model("Not", np.array([True, False])),
    "too large for int32": model("Cast", np.float32([3e9, -3e9, 1.7, -1.7]), to=TensorProto.INT32),
    "NaN to int64": model("Cast", np.float32([np.nan, 3e20]), to=TensorProto.INT64),
    "to float16 and beyond": model("Cast", np.float32([65519, 65520, 1e-8]), to=TensorProto.FLOAT16),
    "quotients of integers": model("Div", np.int64([-7, 7, -7]), np.int64([2, -2, -2])),
    "remainders": model("Mod", np.int64([-7, 7, -7]), np.int64([3, -3, -3])),
    "fmod": model("Mod", np.float32([-7.5, 7.5]), np.float32([2, -2]), fmod=1),
    "halves are rounded to even": model("Round", np.float32([0.5, 1.5, 2.5, -0.5])),
    "bounds the wrong way round": model("Clip", np.float32([1, 5, 9]), np.float32(6), np.float32(4)),
    "two results": model("TopK", np.float32([1, 3, 3, 2]), np.int64([2]), outputs=2),
    "overflow": model("Mul", np.int32([2**30]), np.int32([4])),
}


@pytest.mark.parametrize("case", CASES)
def test_folded_constants_are_those_of_onnxruntime(case: str) -> None:
    base = CASES[case]
    expected = by_onnxruntime(base)
    graph = Graph(base)
    fold_constants(graph)
    assert "node" not in {node.name for node in graph.nodes}
    for index, values in enumerate(expected):
        folded = graph.array(f"r{index}")
        assert folded is not None
        assert folded.dtype == values.dtype
        assert folded.tobytes() == np.ascontiguousarray(values).tobytes() or np.array_equal(folded.ravel(), values)


def test_text_stays_text() -> None:
    graph = Graph(model("Concat", np.array(["é"], object), np.array(["b"], object), axis=0))
    fold_constants(graph)
    folded = graph.array("r0")
    assert folded is None or list(folded) == ["é", "b"]


@pytest.mark.parametrize("op", ["Odd", "StringNormalizer"])
def test_what_onnxruntime_cannot_compute_stays_in_the_graph(op: str) -> None:
    graph = Graph(model(op, np.array(["A"], object), case_change_action="SIDEWAYS"))
    fold_constants(graph)
    assert next(node.name for node in graph.nodes) == "node"


def test_a_sequence_is_no_constant_but_what_is_taken_out_of_it_may_be() -> None:
    base = model("SplitToSequence", PIXELS, axis=2)
    del base.graph.node[1:]
    base.graph.node.append(helper.make_node("ConcatFromSequence", ["r0"], ["y0"], axis=2))
    graph = Graph(base)
    fold_constants(graph)
    assert [node.op_type for node in graph.nodes] == ["SplitToSequence", "ConcatFromSequence"]


def test_nothing_in_the_package_computes_operators_by_the_reference_evaluator() -> None:
    from tests.test_house_rules import PACKAGE

    assert not [path for path in PACKAGE.rglob("*.py") if "ReferenceEvaluator" in path.read_text(encoding="utf-8")]
