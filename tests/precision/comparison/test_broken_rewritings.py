"""A step of a rewriting that computes something slightly wrong is refused, with the first node where it does."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import inferkit
from inferkit.errors import PrecisionError
from inferkit.network.network import Network
from inferkit.precision import casts, islands, placement, qdq
from inferkit.precision.halves import Half
from inferkit.precision.rewrite import fold
from inferkit.precision.rewrite.affine import Affine
from inferkit.precision.rewrite.nodes import set_attribute
from tests.precision.precision_graphs import ModelBuilder, images

Patch = pytest.MonkeyPatch
HALF = ("fp16", "bf16")
QUANTIZED = ("int8", "fp8")


def classifier() -> ModelBuilder:
    """Layers Conv0, BatchNormalization1, Relu2, Conv3, Relu4, Flatten5 and Gemm6."""
    build = ModelBuilder(4)
    build.conv(8)
    build.batch_norm()
    build.add("Relu")
    build.conv(4)
    build.add("Relu")
    build.gemm(5, alpha=0.5)
    return build


def refused(network: Network, precision: str, node: str, reason: str, hint: str = "") -> None:
    calibration = [images()] if precision in QUANTIZED else None
    chosen: dict[str, Any] = {"first_layer": True} if precision in QUANTIZED else {}  # fp8 leaves it out otherwise
    with pytest.raises(PrecisionError) as caught:
        inferkit.at_precision(network, precision, calibration, **chosen)
    message = str(caught.value)
    assert f"node '{node}'" in message
    assert reason in message
    assert hint in message
    for option, layers in re.findall(r"(keep|exclude)=(\[.*?\]) \(--keep", message):
        inferkit.at_precision(
            network, precision, calibration, **chosen, **{option: ast.literal_eval(layers)}
        )  # it helps


def changed(function: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda *arguments, **options: change(function(*arguments, **options))


# The graph before the precision: the same errors whatever precision follows


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_constant_that_is_folded_wrongly(monkeypatch: Patch, precision: str) -> None:
    build = ModelBuilder(4)
    kernel = build.weights(3, 3, 4, 8)
    build.nodes.append(helper.make_node("Transpose", [kernel], ["oihw"], "turned", perm=[3, 2, 0, 1]))
    build.add("Conv", "oihw", shape=(8, 6, 6))
    monkeypatch.setattr(
        fold, "_evaluate", changed(fold._evaluate, lambda values: values and [values[0] * np.float32(1.001)])
    )
    refused(build.network(), precision, "turned", "agrees to 60.0 dB (limit 80 dB)", "report the model")


def test_normalization_that_is_absorbed_with_a_slightly_wrong_factor(monkeypatch: Patch) -> None:
    def wrong(step: Affine | None) -> Affine | None:
        return step and replace(step, scale=step.scale * 1.001)

    monkeypatch.setattr(fold, "affine_of", changed(fold.affine_of, wrong))
    refused(classifier().network(), "fp16", "BatchNormalization1", "dB (limit 80 dB)")


def test_normalization_that_is_absorbed_in_the_order_of_other_channels(monkeypatch: Patch) -> None:
    def wrong(step: Affine | None) -> Affine | None:
        return step and Affine(step.scale[::-1], step.shift[::-1])

    monkeypatch.setattr(fold, "affine_of", changed(fold.affine_of, wrong))
    refused(classifier().network(), "int8", "BatchNormalization1", "dB (limit 80 dB)")


def test_a_factor_that_is_lost(monkeypatch: Patch) -> None:
    monkeypatch.setattr(
        fold, "_absorb_alpha_beta", lambda graph, node: [set_attribute(node, name, None) for name in ("alpha", "beta")]
    )
    refused(classifier().network(), "bf16", "Gemm6", "(limit 80 dB)")


def test_an_operator_that_is_taken_for_none(monkeypatch: Patch) -> None:
    def wrong(graph: Any) -> None:
        for node in [node for node in graph.nodes if node.op_type == "Relu"]:
            graph.bypass(node, node.input[0])

    monkeypatch.setattr(fold, "remove_no_ops", wrong)
    refused(classifier().network(), "fp16", "Conv3", "agrees to")


def test_an_epsilon_that_is_forgotten_where_normalization_is_multiplied_out(monkeypatch: Patch) -> None:
    build = ModelBuilder(4)
    ones, zeros = build.constant(np.ones(4)), build.constant(np.zeros(4))
    build.add("BatchNormalization", ones, zeros, zeros, build.constant(np.full(4, 0.1)), epsilon=1e-3)
    build.add("Relu")
    build.conv(4)
    attribute = fold.attribute
    monkeypatch.setattr(
        "inferkit.precision.rewrite.affine.attribute",
        lambda node, name, default=None: 0.0 if name == "epsilon" else attribute(node, name, default),
    )
    refused(build.network(), "fp16", "BatchNormalization0", "dB (limit 80 dB)")


# Half precision


@pytest.mark.parametrize("precision", HALF)
def test_weights_that_are_not_the_nearest_halves(monkeypatch: Patch, precision: str) -> None:
    rounded = Half.round
    monkeypatch.setattr(Half, "round", lambda self, values: rounded(self, values * np.float32(1.01)))
    hint = "keep=['Conv0', 'Conv3'"
    refused(classifier().network(), precision, "Conv0", f"is not what rounding to {precision} gives", hint)


def test_values_that_overflow(monkeypatch: Patch) -> None:
    monkeypatch.setattr(islands, "_OVERFLOWING", islands._OVERFLOWING - {"Exp"})
    build = ModelBuilder(4)
    build.add("Conv", build.constant(np.full((4, 4, 1, 1), 4.0)))
    build.add("Exp")  # of 16 and more
    build.add("Log")
    refused(build.network(), "fp16", "Exp1", "finite in one of the two", "keep=['Exp1']")


def test_a_whole_number_that_is_rounded_before_it_indexes(monkeypatch: Patch) -> None:
    monkeypatch.setattr(islands, "counting_nodes", lambda graph, types: set())
    table = np.arange(5000, dtype=np.float32).reshape(-1, 1)
    nodes = [
        helper.make_node("Cast", ["ids"], ["numbers"], "numbers", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["numbers", "width"], ["places"], "places"),
        helper.make_node("Add", ["places", "start"], ["moved"], "moved"),
        helper.make_node("Cast", ["moved"], ["index"], "index", to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["y"], "rows"),
    ]
    constants = {"width": np.float32(4096), "start": np.float32(1), "table": table}
    graph = helper.make_graph(
        nodes,
        "ids",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 6, 1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    reason = "a whole number that is rounded: 4097 becomes 4096"
    refused(Network.from_model(model, "ids"), "fp16", "index", reason, "keep=['index', 'moved']")


@pytest.mark.parametrize("precision", HALF)
def test_a_layer_that_reads_another_tensor(monkeypatch: Patch, precision: str) -> None:
    as_type = casts._Rewrite._as

    def wrong(self: Any, name: str, wanted: int, reader: onnx.NodeProto) -> str:
        right = "t0" if reader.name == "Relu2" else name
        return str(as_type(self, right, wanted, reader))

    monkeypatch.setattr(casts._Rewrite, "_as", wrong)
    build = ModelBuilder(4)
    build.conv(4)
    build.add("Sigmoid")
    build.add("Relu")
    refused(build.network(), precision, "Relu2", "what it reads as 't1'")


@pytest.mark.parametrize("precision", HALF)
def test_an_attribute_that_changes_on_the_way(monkeypatch: Patch, precision: str) -> None:
    find = casts.find_islands

    def wrong(graph: Any, *arguments: Any) -> Any:
        for node in graph.nodes:
            if node.op_type == "Concat":
                set_attribute(node, "axis", 2)
        return find(graph, *arguments)

    monkeypatch.setattr(casts, "find_islands", wrong)
    build = ModelBuilder(4)
    first = build.conv(4)
    build.add("Sigmoid")
    build.add("Concat", first, axis=1, shape=(8, 8, 8))
    build.add("ReduceMax", axes=[1, 2])
    refused(build.network(), precision, "Concat2", "has the shape")


# Quantization


@pytest.mark.parametrize("precision", QUANTIZED)
@pytest.mark.parametrize("factor", [0.02, 1e6])
def test_a_scale_that_is_far_too_small_or_too_large(monkeypatch: Patch, precision: str, factor: float) -> None:
    wrong = changed(
        qdq.activation_scales, lambda scales: {n: s * (factor if n == "x" else 1) for n, s in scales.items()}
    )
    monkeypatch.setattr(qdq, "activation_scales", wrong)
    refused(classifier().network(), precision, "Conv0", "what it reads as 'x'", "exclude=['Conv0']")


def test_where_no_layer_helps_by_staying_fp32_none_is_named(monkeypatch: Patch) -> None:
    wrong = changed(qdq.activation_scales, lambda scales: {n: scale * 1e6 for n, scale in scales.items()})
    monkeypatch.setattr(qdq, "activation_scales", wrong)
    refused(classifier().network(), "int8", "Conv0", "what it reads as 'x'", "use the network in fp32")


@pytest.mark.parametrize("precision", QUANTIZED)
def test_a_scale_that_is_shared_with_far_larger_values(monkeypatch: Patch, precision: str) -> None:
    build = ModelBuilder(4)
    build.conv(4)
    build.add("Mul", build.constant(1e-5))
    build.add("Relu")
    build.conv(4)

    def wrong(place: placement.Placement) -> placement.Placement:
        return replace(place, groups=dict.fromkeys(place.tensors, "one"))

    monkeypatch.setattr("inferkit.precision.apply.place", changed(placement.place, wrong))
    monkeypatch.setattr(qdq, "_NEARLY", np.inf)
    refused(build.network(), precision, "Conv3", "where a scale of its own would keep")


@pytest.mark.parametrize("precision", QUANTIZED)
def test_weights_that_get_the_scale_of_another_channel(monkeypatch: Patch, precision: str) -> None:
    scales = qdq.weight_scales

    def wrong(*arguments: Any) -> Any:
        return scales(*arguments)[::-1].copy()

    build = ModelBuilder(4)
    build.add(
        "Conv", build.constant(np.logspace(-4, 0, 8).reshape(8, 1, 1, 1) * np.ones((8, 4, 1, 1))), shape=(8, 8, 8)
    )
    monkeypatch.setattr(qdq, "weight_scales", wrong)
    refused(build.network(), precision, "Conv0", "what it reads as 'c0'")


def test_a_scale_that_lies_along_another_axis(monkeypatch: Patch) -> None:
    build = ModelBuilder(4)
    build.flatten()
    random = np.random.default_rng(3)
    columns = np.logspace(-3, 0, 256)
    build.add("Gemm", build.constant(random.standard_normal((256, 256)) * columns), shape=(256,))
    add_node = qdq.Graph.add_node

    def wrong(self: Any, op_type: str, *arguments: Any, **attributes: Any) -> None:
        add_node(self, op_type, *arguments, **({"axis": 0} if "axis" in attributes else {}))

    monkeypatch.setattr(qdq.Graph, "add_node", wrong)
    refused(build.network(), "int8", "Gemm1", "what it reads as 'c0'")


@pytest.mark.parametrize("precision", QUANTIZED)
def test_a_pair_of_another_tensor(monkeypatch: Patch, precision: str) -> None:
    pair = qdq._pair
    monkeypatch.setattr(qdq, "_pair", lambda graph, name, *rest: pair(graph, "x" if name == "t2" else name, *rest))
    build = ModelBuilder(4)
    build.conv(4)
    build.add("Sigmoid")
    build.add("Relu")
    build.conv(4)
    refused(build.network(), precision, "Conv3", "what it reads as 't2'")


def test_a_skip_branch_has_no_layer_of_its_own_to_exclude(monkeypatch: Patch) -> None:
    pair = qdq._pair
    build = ModelBuilder(4)
    first = build.conv(4)
    skip = build.add("Sigmoid")
    build.node("Conv", [first, build.weights(4, 4, 1, 1)])
    build.add("Add", skip)
    network = build.network()
    monkeypatch.setattr(
        qdq, "_pair", lambda graph, name, scale, form: pair(graph, name, scale * (100 if name == skip else 1), form)
    )
    refused(network, "int8", "Add3", f"what it reads as '{skip}'", "exclude=['Conv2']")
