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
