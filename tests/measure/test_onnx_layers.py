"""The layers of a network found again in what ONNX Runtime's optimizer made of it."""

import pytest

import inferkit
from inferkit.gate.layer_diff import diff_layers
from inferkit.measure.images import stand_in
from inferkit.measure.onnx_layers import onnx_layers

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
