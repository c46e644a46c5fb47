"""What is not refused: networks that amplify rounding, draw random numbers, or hold what ONNX Runtime cannot run."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import inferkit
from inferkit.network.network import Network
from inferkit.precision import collect_ranges
from inferkit.precision.comparison.check import require_same
from inferkit.precision.rewrite.graph import Graph
from tests.precision.precision_graphs import ModelBuilder, images

PRECISIONS = ("fp16", "bf16", "int8", "fp8")


def rewritten(network: Network, precision: str) -> Network:
    return inferkit.at_precision(network, precision, [images()] if precision in ("int8", "fp8") else None)


def uncompared(network: Network) -> list[str]:
    """The notes on what was not compared."""
    return [note for note in network.notes if "compared" in note]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("choice", ["ArgMax", "TopK", "Floor", "Greater", "Sign"])
def test_choices_that_rounding_turns_over_are_no_fault(precision: str, choice: str) -> None:
    build = ModelBuilder(4)
    for _ in range(6):
        build.conv(16)
        build.add("Mul", build.constant(30.0))  # amplified, cut and cut again: the end has nothing of FP32's
        build.add("Sin")
    match choice:
        case "ArgMax":
            build.add("ArgMax", axis=1)
            build.add("Cast", to=TensorProto.FLOAT)
        case "TopK":
            build.nodes.append(
                helper.make_node("TopK", [build.top, build.constant([4], np.int64)], ["best", "at"], "TopK", axis=1)
            )
            build.top = "best"
        case "Greater":
            build.add("Greater", build.constant(0.0))
            build.add("Cast", to=TensorProto.FLOAT)
        case _:
            build.add(choice)
    build.add("Conv", build.weights(3, {"ArgMax": 1, "TopK": 4}.get(choice, 16), 1, 1))
    assert uncompared(rewritten(build.network(), precision)) == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_large_values_that_cancel_each_other_out_are_no_fault(precision: str) -> None:
    build = ModelBuilder(4)
    build.add("Conv", build.weights(4, 4, 1, 1, scale=1e-3), build.constant(np.full(4, 1000.0)))
    ones = build.constant(np.ones(4))
    build.add("BatchNormalization", ones, build.constant(np.zeros(4)), build.constant(np.full(4, 1000.0)), ones)
    build.add("Relu")
    build.conv(4)
    assert uncompared(rewritten(build.network(), precision)) == []


@pytest.mark.parametrize("precision", ["fp16", "int8", "fp8"])  # ONNX Runtime has none in the operator set of bf16
def test_random_numbers_are_drawn_anew_and_the_rest_is_compared(precision: str) -> None:
    build = ModelBuilder(4)
    first = build.conv(4)
    build.add("RandomNormalLike")
    build.add("Add", first)
    build.conv(4)
    assert uncompared(rewritten(build.network(), precision)) == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_onnxruntime_cannot_run_is_noted_with_the_first_node(precision: str) -> None:
    build = ModelBuilder(4)
    first = build.conv(4)
    build.nodes.append(helper.make_node("Odd", [first], ["odd"], "odd", domain="elsewhere"))
    build.nodes.append(helper.make_node("Conv", ["odd", build.weights(4, 4, 1, 1)], ["y"], "last"))
    shape = ["N", 4, 8, 8]
    graph = helper.make_graph(
        build.nodes,
        "odd",
        [build.input],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        build.initializers,
        value_info=[helper.make_tensor_value_info("odd", TensorProto.FLOAT, shape)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("elsewhere", 1)]
    network = Network.from_model(helper.make_model(graph, opset_imports=opsets, ir_version=8), "odd")
    if precision in ("int8", "fp8"):
        with pytest.raises(inferkit.errors.PrecisionError, match="ONNX Runtime cannot load"):
            rewritten(network, precision)  # nor could it calibrate
        return
    (note,) = uncompared(rewritten(network, precision))
    assert note.startswith("node 'odd' (Odd): ONNX Runtime cannot run it")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_sequences_between_layers_are_followed(precision: str) -> None:
    build = ModelBuilder(4)
    build.conv(4)
    build.nodes.append(helper.make_node("SplitToSequence", [build.top], ["parts"], "parts", axis=1))
    build.node("ConcatFromSequence", ["parts"], axis=1)
    build.conv(4)
    assert uncompared(rewritten(build.network(), precision)) == []


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_a_calibration_without_images_is_compared_as_far_as_random_ones_allow(precision: str) -> None:
    build = ModelBuilder(4)
    build.conv(4)
    build.add("Relu")
    build.conv(4)
    ranges = collect_ranges(build.network(), [images() * np.float32(1e-3)])
    assert uncompared(inferkit.at_precision(build.network(), precision, ranges)) == []


@pytest.mark.parametrize("opset", [7, 9, 10])
def test_a_product_of_an_old_operator_set_is_half_in_that_set(opset: int) -> None:
    build = ModelBuilder(4, opset=opset)
    build.flatten()
    build.matmul_add(6)
    network = inferkit.at_precision(build.network(), "fp16")
    onnx.checker.check_model(network.model, full_check=True)
    assert network.model.opset_import[0].version == opset


def test_a_network_that_runs_with_no_size_is_noted() -> None:
    build = ModelBuilder(4)
    build.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "width"])
    build.add("Reshape", build.constant([-1, 4, 97, 89], np.int64), shape=(4, 97, 89))
    build.conv(4)
    (note,) = uncompared(inferkit.at_precision(build.network(), "fp16"))
    assert note.startswith("not compared with the network before")


def test_equal_graphs_agree_and_memory_holds_what_is_still_read() -> None:
    build = ModelBuilder(4)
    for _ in range(5):
        build.residual()
    graph = Graph(build.model())
    assert require_same(graph, graph.copy(), {"x": images()}, "copying", "no hint") == ()
