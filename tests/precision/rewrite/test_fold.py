"""Preparing a graph: constants, normalization and no-ops disappear, what is computed does not change."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from onnx import TensorProto, helper, numpy_helper

from inferkit.precision.rewrite.fold import prepare
from inferkit.precision.rewrite.graph import Graph
from tests.precision.precision_graphs import ModelBuilder, check, images, models, op_types, run

# Folding multiplies weights in double precision and rounds once: a few roundings of float32 apart from the original.
CLOSE = {"rtol": 2e-4, "atol": 2e-5}


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    return check(prepare(model).model())


@settings(max_examples=60)
@given(models())
def test_a_prepared_graph_computes_what_the_original_does(model: onnx.ModelProto) -> None:
    original = model.SerializeToString(deterministic=True)
    x = images()
    expected, actual = run(model, x), run(prepared(model), x)
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(actual / scale, expected / scale, **CLOSE)
    assert model.SerializeToString(deterministic=True) == original  # the original is not touched


@pytest.mark.parametrize("layer", ["conv", "grouped", "depthwise", "deconv", "deconv_grouped"])
def test_normalization_disappears_into_the_layer_before_it(layer: str) -> None:
    build = ModelBuilder(4)
    match layer:
        case "conv":
            build.conv(8)
        case "grouped":
            build.conv(8, group=2)
        case "depthwise":
            build.conv(4, group=4, bias=False)
        case "deconv":
            build.deconv(6)
        case "deconv_grouped":
            build.deconv(6, group=2)
    build.batch_norm()
    build.per_channel("Mul")
    build.per_channel("Add")
    model = build.model()
    actual = prepared(model)
    assert op_types(actual) == [model.graph.node[0].op_type]
    np.testing.assert_allclose(run(actual, images()), run(model, images()), **CLOSE)


def test_normalization_of_an_inner_product_disappears_whatever_its_form() -> None:
    for transposed in (False, True):
        build = ModelBuilder(4)
        build.gemm(6, transposed=transposed, alpha=0.5, beta=3.0)
        build.batch_norm()
        actual = prepared(build.model())
        assert op_types(actual) == ["Flatten", "Gemm"]
        np.testing.assert_allclose(run(actual, images()), run(build.model(), images()), **CLOSE)
    build = ModelBuilder(4)
    build.matmul_add(6)
    assert op_types(prepared(build.model())) == ["Flatten", "Gemm"]


def test_weights_that_two_layers_share_are_folded_for_each_by_itself() -> None:
    build = ModelBuilder(4)
    weights = build.weights(4, 4, 1, 1)
    build.add("Conv", weights)
    build.batch_norm()
    build.add("Conv", weights)
    model = build.model()
    actual = prepared(model)
    assert op_types(actual) == ["Conv", "Conv"]
    assert actual.graph.node[0].input[1] != actual.graph.node[1].input[1]
    np.testing.assert_allclose(run(actual, images()), run(model, images()), **CLOSE)


def test_a_tensor_that_something_else_reads_keeps_its_layer_as_it_is() -> None:
    build = ModelBuilder(4)
    inner = build.conv(4)
    build.batch_norm()
    build.add("Add", inner)
    model = build.model()
    assert op_types(prepared(model)) == ["Conv", "BatchNormalization", "Add"]
    build = ModelBuilder(4)
    inner = build.conv(4)
    build.batch_norm()
    both = prepared(build.model(inner, build.top))  # the layer's result is itself an output
    assert op_types(both) == ["Conv", "BatchNormalization"]


def test_a_factor_that_varies_along_an_image_is_no_factor_per_channel() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    build.add("Mul", build.constant(np.linspace(1, 2, 8)))  # along the width
    assert op_types(prepared(build.model())) == ["Conv", "Mul"]


def test_a_constant_that_widens_one_channel_to_many_is_not_folded() -> None:
    build = ModelBuilder(4)
    build.conv(1)
    build.add("Add", build.constant(np.arange(3.0).reshape(3, 1, 1)), shape=(3, 8, 8))
    model = build.model()
    actual = prepared(model)
    assert run(actual, images()).shape == (4, 3, 8, 8)
    np.testing.assert_allclose(run(actual, images()), run(model, images()), **CLOSE)


def test_a_bias_that_differs_between_rows_stays_apart() -> None:
    build = ModelBuilder(1, size=2)
    build.flatten()
    build.add("Gemm", build.weights(4, 3), build.constant([[1.0], [2.0], [3.0]]), shape=(3,))
    build.per_channel("Mul")
    model = build.model()
    x = images(3, 1, 2)
    np.testing.assert_allclose(run(prepared(model), x), run(model, x), **CLOSE)


def test_dropout_and_identity_disappear_also_next_to_an_output() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    build.add("Dropout")
    build.add("Relu")
    build.add("Identity")
    model = build.model()
    actual = prepared(model)
    assert op_types(actual) == ["Conv", "Relu"]
    assert actual.graph.output[0].name == model.graph.output[0].name


def test_an_output_that_is_an_input_keeps_its_identity_node() -> None:
    build = ModelBuilder(4)
    build.add("Identity")
    assert op_types(prepared(build.model())) == ["Identity"]


def test_what_depends_on_constants_alone_is_computed_once() -> None:
    build = ModelBuilder(4)
    kernel = build.weights(3, 3, 4, 8)  # as TensorFlow stores it: height, width, in, out
    build.nodes.append(helper.make_node("Transpose", [kernel], ["oihw"], perm=[3, 2, 0, 1]))
    build.add("Conv", "oihw", shape=(8, 6, 6))
    model = build.model()
    actual = prepared(model)
    assert op_types(actual) == ["Conv"]
    np.testing.assert_allclose(run(actual, images()), run(model, images()), **CLOSE)


def test_a_constant_that_would_grow_to_megabytes_is_left_to_the_backend() -> None:
    build = ModelBuilder(4)
    shape = build.constant([64, 64, 64, 8], np.int64)
    build.nodes.append(helper.make_node("Expand", [build.constant(1.0), shape], ["big"]))
    build.nodes.append(helper.make_node("ReduceMean", ["big"], ["one"], keepdims=0))
    build.add("Mul", "one")
    assert "Expand" in op_types(prepared(build.model()))


def test_constants_may_be_nodes_of_any_form() -> None:
    constant = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32)))
    number = helper.make_node("Constant", [], ["s"], value_float=2.0)
    nodes = [constant, number, helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Mul", ["c", "s"], ["y"])]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", c, 4, 4]) for name, c in (("x", 3), ("y", 2))
    ]
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:]), opset_imports=opsets, ir_version=8)
    actual = prepared(model)
    assert op_types(actual) == ["Conv"]
    np.testing.assert_allclose(run(actual, images(1, 3, 4)), run(model, images(1, 3, 4)), **CLOSE)


def test_weights_that_are_also_listed_as_inputs_are_constants() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    model = build.model()
    model.ir_version = 3  # where every initializer had to be an input as well
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    actual = prepared(model)
    assert [value.name for value in actual.graph.input] == ["x"]


def test_a_branch_reads_what_is_outside_of_it() -> None:
    build = ModelBuilder(4)
    inner = build.conv(4)
    body = helper.make_graph(
        [helper.make_node("Relu", [inner], ["r"])], "then", [], [helper.make_tensor_value_info("r", 1, None)]
    )
    otherwise = helper.make_graph(
        [helper.make_node("Neg", [inner], ["n"])], "else", [], [helper.make_tensor_value_info("n", 1, None)]
    )
    condition = build.constant(True, np.bool_)
    build.node("If", [condition], then_branch=body, else_branch=otherwise)
    build.batch_norm()
    model = build.model()
    actual = prepared(model)
    assert "Conv" in op_types(actual)
    np.testing.assert_allclose(run(actual, images()), run(model, images()), **CLOSE)


def test_a_variance_that_makes_no_sense_is_left_alone() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    ones = build.constant(np.ones(4))
    build.add("BatchNormalization", ones, ones, ones, build.constant(-np.ones(4)))
    assert op_types(prepared(build.model())) == ["Conv", "BatchNormalization"]


def test_a_network_of_an_old_operator_set_is_brought_to_a_newer_one_without_its_weights_passing_through() -> None:
    build = ModelBuilder(4, opset=11)
    build.conv(64, 3)
    build.gemm(5)
    model = build.model()
    graph = Graph(model).with_opset(19)
    assert graph.opset == 19
    np.testing.assert_array_equal(run(check(graph.model()), images()), run(model, images()))
