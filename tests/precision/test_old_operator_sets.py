"""Networks of old operator sets compute at every precision what ONNX Runtime computes of the file as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

import inferkit
from inferkit.errors import PrecisionError
from inferkit.network.network import Network
from inferkit.precision import opset as conversion
from inferkit.precision.opset import convert
from inferkit.precision.rewrite.fold import prepare
from inferkit.precision.rewrite.graph import Graph

RANDOM = np.random.default_rng(21)
IMAGES = RANDOM.standard_normal((3, 2, 10, 10)).astype(np.float32)
KERNEL = (RANDOM.standard_normal((4, 2, 3, 3)) / 4).astype(np.float32)


def network(opset: int, op: str, inputs: dict[str, np.ndarray] | None = None, **attributes: Any) -> Network:
    """A convolution to 4 channels of 10 x 10, then the operator with these constants as its further inputs."""
    constants = inputs or {}
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["features"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node(op, ["features", *constants], ["y"], "last", **attributes),
    ]
    graph = helper.make_graph(
        nodes,
        "old",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 10, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", None, None, None])],
        [numpy_helper.from_array(value, name) for name, value in {"kernel": KERNEL, **constants}.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=4 + (opset > 8) * 4)
    if opset < 9:
        model.graph.input.extend(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in graph.initializer
        )
    return Network.from_model(model, "old")


def reference(base: Network) -> np.ndarray:
    session = onnxruntime.InferenceSession(base.model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": IMAGES})[0]


def at(base: Network, precision: str) -> np.ndarray:
    calibration = {"calibration": IMAGES} if precision == "int8" else {}
    applied = inferkit.at_precision(base, precision, **calibration)
    with inferkit.build(
        applied, max_batch=3, **({"emulate": True} if precision == "bf16" else {})
    ).session() as session:
        return session.run(IMAGES)["y"]


def scales(*factors: float) -> dict[str, np.ndarray]:
    return {"scales": np.array(factors, np.float32)}


CASES = {
    "Upsample 7, nearest": lambda: network(7, "Upsample", scales=[1.0, 1.0, 2.0, 3.0], mode="nearest"),
    "Upsample 9, nearest": lambda: network(9, "Upsample", scales(1, 1, 2.5, 1.7), mode="nearest"),
    "Upsample 9, linear": lambda: network(9, "Upsample", scales(1, 1, 3, 2), mode="linear"),
    "Resize 10, nearest, larger": lambda: network(10, "Resize", scales(1, 1, 1.3, 2), mode="nearest"),
    "Resize 10, nearest, smaller": lambda: network(10, "Resize", scales(1, 1, 0.4, 0.7), mode="nearest"),
    "Resize 10, nearest, both": lambda: network(10, "Resize", scales(1, 1, 0.4, 1.7), mode="nearest"),
    "Resize 10, linear": lambda: network(10, "Resize", scales(1, 1, 0.6, 1.5), mode="linear"),
    "Softmax 12": lambda: network(12, "Softmax"),
    "Softmax 9 of the last axis": lambda: network(9, "Softmax", axis=3),
    "LogSoftmax 11": lambda: network(11, "LogSoftmax", axis=2),
    "Softmax 11 from the end": lambda: network(11, "Softmax", axis=-2),
}
# Root mean square: 11 and 8 bits of the weights and features, 255 steps of each.
BOUNDS = {"fp16": 0.005, "bf16": 0.03, "int8": 0.05}


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize("case", CASES)
def test_operators_of_old_sets_keep_their_meaning(case: str, precision: str) -> None:
    base = CASES[case]()
    expected, found = reference(base), at(base, precision)
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) < BOUNDS[precision] * np.linalg.norm(expected)


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize(("opset", "axis"), [(7, None), (9, 2), (12, None), (12, -1), (12, 0), (11, -3)])
def test_hardmax_puts_one_into_all_that_follows_its_axis(opset: int, axis: int | None, precision: str) -> None:
    base = network(opset, "Hardmax", **({} if axis is None else {"axis": axis}))
    expected, found = reference(base), at(base, precision)
    assert found.sum() == expected.sum()
    assert set(np.unique(found)) == {0, 1}


@pytest.mark.parametrize("opset", [7, 10, 12])
def test_fp16_keeps_the_operator_set_of_the_file(opset: int) -> None:
    applied = inferkit.at_precision(network(opset, "Relu"), "fp16")
    assert applied.model.opset_import[0].version == opset


def test_a_graph_that_is_new_enough_is_not_touched() -> None:
    graph = Graph(network(17, "Relu").model)
    assert convert(graph, 13) is graph


def test_a_conversion_that_changes_a_result_is_an_error_with_the_first_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_restore_coordinates", lambda graph: None)
    base = network(10, "Resize", scales(1, 1, 2, 2), mode="linear")
    with pytest.raises(PrecisionError, match=r"operator set 10 to 22 changes what node 'last' \(Resize\) computes"):
        inferkit.at_precision(base, "bf16")


def test_the_first_node_is_named_not_those_that_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_flatten_hardmax", lambda graph: None)
    model = onnx.ModelProto()
    model.CopyFrom(network(12, "Hardmax").model)
    model.graph.node[1].output[0] = "ones"
    model.graph.node.append(helper.make_node("Neg", ["ones"], ["y"], "negated"))
    with pytest.raises(PrecisionError, match=r"node 'last' \(Hardmax\)"):
        inferkit.at_precision(Network.from_model(model, "old"), "bf16")


@pytest.mark.parametrize("version", [9, 10, 11])
def test_conversions_of_networks_with_products_and_states_are_checked(version: int) -> None:
    """A product by weights becomes a Gemm, which needs a bias below operator set 11; the state's batch is on axis 1."""
    text = f"""<ir_version: 8, opset_import: ["" : {version}]>
    g (float[N, 4] x, float[2, N, 4] state, float gain) => (float[N, 3] y)
    <float[4, 3] w = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3}}, int64 first = {{1}}>
    {{ s = Gather<axis = 0>(state, first) a = Add(x, s) b = Mul(a, gain) y = MatMul(b, w) }}"""
    notes: list[str] = []
    convert(prepare(parser.parse_model(text)), 13, notes)
    assert notes == []


def test_a_conversion_that_cannot_be_run_says_so() -> None:
    """No size that is tried fits the product."""
    text = """<ir_version: 8, opset_import: ["" : 11]>
    g (float[N, T] x) => (float[N, 1] y) <float[9, 1] w = {1, 2, 3, 4, 5, 6, 7, 8, 9}>
    { y = MatMul(x, w) }"""
    notes: list[str] = []
    convert(prepare(parser.parse_model(text)), 13, notes)
    assert "operator set 11 to 13 was not checked" in notes[0]


def both(base: Network, feeds: dict[str, np.ndarray], precision: str) -> tuple[list[Any], list[Any]]:
    """All outputs of the file in ONNX Runtime, and of the network at a precision."""
    session = onnxruntime.InferenceSession(base.model.SerializeToString(), providers=["CPUExecutionProvider"])
    applied = inferkit.at_precision(base, precision, [feeds] if precision == "int8" else None)
    with inferkit.build(applied, max_batch=2, emulate=precision == "bf16").session() as opened:
        outputs = opened.run(feeds)
    return session.run(None, feeds), [outputs[info.name] for info in base.outputs]


BODIES = {
    "Hardmax 11": (11, "", "Hardmax<axis = 1>(a)"),
    "Hardmax 12 of another axis": (12, "", "Hardmax<axis = 2>(a)"),
    "Resize 10, both ways": (10, "float[4] s = {1.0, 1.0, 0.6, 1.7},", 'Resize<mode = "nearest">(a, s)'),
    "Resize 10, linear": (10, "float[4] s = {1.0, 1.0, 0.6, 1.7},", 'Resize<mode = "linear">(a, s)'),
    "Upsample 9": (9, "float[4] s = {1.0, 1.0, 2.0, 3.0},", 'Upsample<mode = "nearest">(a, s)'),
    "Resize 10 by what it is fed": (10, "", 'Resize<mode = "nearest">(a, scales)'),
}


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("case", BODIES)
def test_operators_in_bodies_keep_their_meaning(case: str, taken: bool, precision: str) -> None:
    opset, constants, operator = BODIES[case]
    of_b = operator.replace("(a", "(b")
    text = f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[N, 2, 10, 10] x, float[4] scales, bool first) => (float[N, 4, H, W] y)
    <{constants} float zero = {{0.0}}>
    {{ a = Conv<pads = [1, 1, 1, 1]>(x, kernel)
       y = If (first) <then_branch = left () => (float[N, 4, H, W] p) {{ p = {operator} }},
                       else_branch = right () => (float[N, 4, H2, W2] q) {{ b = Relu(a) q = {of_b} }}> }}"""
    model = parser.parse_model(text)
    model.graph.initializer.append(numpy_helper.from_array(KERNEL, "kernel"))
    feeds = {"x": IMAGES[:2], "scales": np.array([1, 1, 0.7, 1.6], np.float32), "first": np.array(taken)}
    [expected], [actual] = both(Network.from_model(model, "bodies"), feeds, precision)
    assert actual.shape == expected.shape
    if "Hardmax" in case:
        assert actual.sum() == expected.sum()
        assert set(np.unique(actual)) == {0, 1}
    else:
        assert np.linalg.norm(actual - expected) < BOUNDS[precision] * np.linalg.norm(expected)


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
@pytest.mark.parametrize("factors", [(1, 1, 0.6, 0.6), (1, 1, 2, 1.5), (1, 1, 0.4, 1.7), (1, 1, 1, 1)])
def test_scales_that_are_no_constants_decide_how_to_round(factors: tuple[float, ...], precision: str) -> None:
    text = """<ir_version: 8, opset_import: ["" : 10]>
    g (float[N, 2, 10, 10] x, float[4] s) => (float[N, 4, H, W] y)
    { a = Conv<pads = [1, 1, 1, 1]>(x, kernel) y = Resize<mode = "nearest">(a, s) }"""
    model = parser.parse_model(text)
    model.graph.initializer.append(numpy_helper.from_array(KERNEL, "kernel"))
    feeds = {"x": IMAGES[:2], "s": np.array(factors, np.float32)}
    [expected], [actual] = both(Network.from_model(model, "resized"), feeds, precision)
    assert actual.shape == expected.shape
    assert np.linalg.norm(actual - expected) < BOUNDS[precision] * np.linalg.norm(expected)


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
@pytest.mark.parametrize(("opset", "kind"), [(9, "float"), (10, "bool"), (11, "bool"), (12, "bool")])
def test_the_mask_of_a_dropout_is_what_its_operator_set_says(opset: int, kind: str, precision: str) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[N, 2, 10, 10] x) => (float[N, 4, 10, 10] y, {kind}[N, 4, 10, 10] mask)
    {{ a = Conv<pads = [1, 1, 1, 1]>(x, kernel) y, mask = Dropout(a) }}"""
    model = parser.parse_model(text)
    model.graph.initializer.append(numpy_helper.from_array(KERNEL, "kernel"))
    expected, actual = both(Network.from_model(model, "dropped"), {"x": IMAGES[:2]}, precision)
    assert np.array_equal(actual[1], expected[1])
    assert actual[1].dtype == expected[1].dtype
