"""Images far outside of the range that was calibrated are told of with both figures, wherever they meet."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import inferkit
from inferkit.measure.accuracy.top_k import AccuracySpec
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import Recipe, prepare, prepared_facts
from inferkit.measure.jobs.launch import run_accuracy
from inferkit.network.network import Network
from inferkit.precision.input_range import calibrated_inputs, unlike_calibration


def convolution(*before, constants=(), quantize=None):
    """Input [N, 1, 8, 8], the nodes of `before` from `data` to `x`, and a convolution of `x` as a network."""
    weights = numpy_helper.from_array(np.full((2, 1, 3, 3), 0.1, np.float32), "w")
    nodes = [*before, helper.make_node("Conv", ["x" if before else "data", "w"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2, 6, 6])],
        [weights, *constants],
    )
    return Network.from_model(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "net"
    )


def constant(name, value):
    return numpy_helper.from_array(np.float32(value), name)


RAW = np.linspace(0, 255, 64, dtype=np.float32).reshape(1, 1, 8, 8)
SCALED = {"calibration": RAW / 255, "method": "max"}


def test_raw_pixels_against_a_calibration_of_scaled_ones_are_told_and_like_ones_are_not():
    network = inferkit.at_precision(convolution(), "int8", **SCALED)
    calibrated = calibrated_inputs(network)
    assert calibrated == {"data": pytest.approx(1.0)}
    warning = unlike_calibration(calibrated, {"data": RAW}, "int8")
    assert "largest value of the images is 255" in warning
    assert "int8 was calibrated up to 1:" in warning
    assert "calibrate with the mean and scale of these images" in warning
    for factor in (0.2, 1, 1.9):
        assert unlike_calibration(calibrated, {"data": RAW / 255 * factor}, "int8") == ""
    assert "is 0.05," in unlike_calibration(calibrated, {"data": RAW / 255 / 20}, "int8")


@pytest.mark.parametrize(
    ("nodes", "constants", "largest"),
    [
        ([helper.make_node("Mul", ["data", "c"], ["x"])], [constant("c", 0.5)], 1.0),
        ([helper.make_node("Div", ["data", "c"], ["x"])], [constant("c", 4.0)], 1.0),
        (
            [helper.make_node("Sub", ["data", "m"], ["s"]), helper.make_node("Mul", ["s", "c"], ["x"])],
            [constant("m", 0.5), constant("c", 2.0)],
            1.0,  # 0.5 * 2 above, so 0.5 + 0.5 at the input
        ),
    ],
)
def test_scaling_layers_before_the_first_convolution_are_looked_through(nodes, constants, largest):
    network = inferkit.at_precision(convolution(*nodes, constants=constants), "int8", **SCALED)
    assert calibrated_inputs(network) == {"data": pytest.approx(largest, rel=0.02)}


def test_other_layers_are_not_looked_through_and_other_precisions_have_no_range():
    relu = convolution(helper.make_node("Sigmoid", ["data"], ["x"]))
    assert calibrated_inputs(inferkit.at_precision(relu, "int8", **SCALED)) == {}
    assert calibrated_inputs(inferkit.at_precision(convolution(), "fp16")) == {}


def test_codes_whose_zero_is_not_in_the_middle_reach_as_far_as_they_do():
    """As ONNX Runtime's own quantizer writes activations: uint8, 0 to 255 for pixels that are never negative."""
    before = [
        helper.make_node("QuantizeLinear", ["data", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
    ]
    zero = numpy_helper.from_array(np.uint8(0), "z")
    network = convolution(*before, constants=[constant("s", 1 / 255), zero])
    onnx.checker.check_model(network.model)
    from dataclasses import replace

    assert calibrated_inputs(replace(network, precision="int8")) == {"data": pytest.approx(1.0)}


def test_the_suites_accuracy_tells_of_images_that_the_network_was_not_calibrated_with(tmp_path):
    """A network that was quantized elsewhere for scaled pixels, over a dataset whose preprocessing was forgotten."""
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (40, 1, 28, 28)).astype(np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=random.integers(0, 10, 40))
    quantized = inferkit.at_precision(inferkit.load("lenet"), "int8", calibration=images.astype(np.float32) / 256)
    onnx.save(quantized.model, tmp_path / "quantized.onnx")
    folder = tmp_path / "prepared"
    dataset = str(tmp_path / "images.npz")
    prepare(Recipe("net", str(tmp_path / "quantized.onnx"), "int8", dataset=dataset), folder)
    assert 0.5 < prepared_facts(folder)["calibrated"]["data"] < 1.1
    engine = EngineSpec(str(folder), "onnxruntime", 20)
    assert "int8 was calibrated up to" in run_accuracy(AccuracySpec(engine, dataset), "net").warning
    assert run_accuracy(AccuracySpec(engine, dataset, {"scale": 1 / 256}), "net").warning == ""
