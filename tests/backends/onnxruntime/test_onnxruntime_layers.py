"""The layers of a network found again in what ONNX Runtime's optimizer made of it."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import inferkit
from inferkit.backends.onnxruntime.layers import onnx_layers
from inferkit.gate.layer_diff import diff_layers
from inferkit.measure.images import stand_in
from inferkit.network.network import Network

NO_LAYERS = ("QuantizeLinear", "DequantizeLinear", "Cast", "Identity", "Constant", "Dropout")


def at(precision):
    network = inferkit.load("fashion_resnet")
    if precision == "fp32":
        return network
    images = stand_in(network.inputs[0], 4)
    return inferkit.at_precision(network, precision, calibration=[{"data": images}])


def profiled(network, optimization):
    engine = inferkit.build(network, backend="onnxruntime", max_batch=1, optimization=optimization)
    return onnx_layers(engine.profile({"data": stand_in(network.inputs[0], 1)}, runs=2), network)


@pytest.mark.parametrize("optimization", ["all", "none"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_layer_of_the_network_is_in_exactly_one_row(precision, optimization):
    network = at(precision)
    table = profiled(network, optimization)
    found = sorted(name for row in table for name in row.origins)
    assert found == sorted(node.name for node in network.model.graph.node if node.op_type not in NO_LAYERS)
    assert {row.precision for row in table if row.kind in ("Conv", "QLinearConv")} <= {"fp32", "int8"}


def test_graph_optimization_switched_off_is_seen_as_fusions_that_were_split():
    network = at("fp32")
    diff = diff_layers(profiled(network, "all"), profiled(network, "none"))
    by_layer = {change.layers[0]: change for change in diff.changes}
    assert by_layer["conv1"].kind == "split"
    assert set(by_layer["conv1"].layers) == {"conv1", "bn_conv1", "scale_conv1/Mul", "scale_conv1", "conv1_relu"}
    assert by_layer["ReorderOutput after pool5"].kind == "gone"
    assert by_layer["prob"].kind == "same"


def model_of(nodes, x, y, weights):
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))] for name, shape in (("x", x), ("y", y))
    )
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(0, 0.1, shape) if isinstance(shape, tuple) else shape for name, shape in weights.items()}
    tensors = [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in arrays.items()]
    model = helper.make_model(helper.make_graph(nodes, "net", inputs, outputs, tensors), ir_version=8)
    model.opset_import[0].version = 17
    return Network.from_model(model, "net")


def origins(network, x, optimization="all"):
    engine = inferkit.build(network, backend="onnxruntime", max_batch=1, optimization=optimization)
    table = onnx_layers(engine.profile(np.ones(x, np.float32), runs=2), network)
    return [row.origins for row in table if row.origins]


def convolutions_with_relu():
    """Tensors that are called otherwise than nodes; a residual addition, a normalization and a clip."""
    pads = {"pads": [1, 1, 1, 1]}
    return model_of(
        [
            helper.make_node("Conv", ["x", "w0"], ["c0"], name="conv_a", **pads),
            helper.make_node("Relu", ["c0"], ["r0"], name="relu_a"),
            helper.make_node("Conv", ["r0", "w1"], ["c1"], name="conv_b", **pads),
            helper.make_node("BatchNormalization", ["c1", "one", "zero", "zero", "one"], ["n1"], name="norm_b"),
            helper.make_node("Relu", ["n1"], ["r1"], name="relu_b"),
            helper.make_node("Conv", ["r1", "w2"], ["c2"], name="conv_c", **pads),
            helper.make_node("Add", ["c2", "r0"], ["s2"], name="add_c"),
            helper.make_node("Relu", ["s2"], ["r2"], name="relu_c"),
            helper.make_node("Conv", ["r2", "w3"], ["c3"], name="conv_d", **pads),
            helper.make_node("Clip", ["c3", "low", "high"], ["y"], name="clip_d"),
        ],
        ("N", 8, 12, 12),
        ("N", 8, 12, 12),
        {**{f"w{i}": (8, 8, 3, 3) for i in range(4)}, "one": [1] * 8, "zero": [0] * 8, "low": 0, "high": 6},
    )


@pytest.mark.parametrize("optimization", ["all", "extended"])
def test_a_convolution_is_in_the_row_of_the_activation_that_it_was_fused_with(optimization):
    rows = origins(convolutions_with_relu(), (1, 8, 12, 12), optimization)
    of = {layer: row for row in rows for layer in row}
    assert of["conv_a"] == ("conv_a", "relu_a")
    assert of["conv_b"] == ("conv_b", "norm_b", "relu_b")
    assert of["conv_d"] == ("conv_d", "clip_d")
    assert of["conv_c"][0] == "conv_c"
    assert sum(map(len, rows)) == len(of) == 10


def test_a_fusion_that_is_named_by_none_of_its_layers_is_a_row_of_them_all():
    """ONNX Runtime calls it BiasGelu: no layer's name and no tensor's."""
    network = model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["m"], name="product"),
            helper.make_node("Add", ["m", "b"], ["a"], name="bias"),
            helper.make_node("Div", ["a", "root"], ["d"], name="scaled"),
            helper.make_node("Erf", ["d"], ["e"], name="erf"),
            helper.make_node("Add", ["e", "one"], ["e1"], name="plus"),
            helper.make_node("Mul", ["a", "e1"], ["g"], name="gate"),
            helper.make_node("Mul", ["g", "half"], ["h"], name="halved"),
            helper.make_node("MatMul", ["h", "v"], ["y"], name="last"),
        ],
        ("N", 4, 16),
        ("N", 4, 16),
        {"w": (16, 16), "v": (16, 16), "b": (16,), "root": 2**0.5, "one": 1, "half": 0.5},
    )
    gelu = ("bias", "scaled", "erf", "plus", "gate", "halved")
    assert origins(network, (1, 4, 16)) == [("product",), gelu, ("last",)]


def test_nodes_without_a_name_are_told_apart():
    """Ten products: under the name of their operator, the profiler would take them for one."""
    unit = numpy_helper.from_array(np.eye(64, dtype=np.float32), "unit")
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 64]) for name in ("x0", "x10")]
    nodes = [helper.make_node("MatMul", [f"x{i}", "unit"], [f"x{i + 1}"]) for i in range(10)]
    model = helper.make_model(helper.make_graph(nodes, "ten", sides[:1], sides[1:], [unit]), ir_version=8)
    model.opset_import[0].version = 17  # not the newest that this onnx knows, which ONNX Runtime may not
    network = Network.from_model(model, "ten")
    engine = inferkit.build(network, backend="onnxruntime", max_batch=2)
    table = onnx_layers(engine.profile(np.ones((2, 64), np.float32), runs=3), network)
    assert [row.origins for row in table] == [(f"x{i + 1}",) for i in range(10)]
