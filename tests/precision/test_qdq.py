"""Q/DQ pairs in the graph: their form, their error, and what ONNX Runtime makes of them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import inferkit
from inferkit.errors import PrecisionError
from inferkit.network.network import Network
from inferkit.precision.calibration.methods import Calibration
from inferkit.precision.emulation import emulated
from inferkit.precision.placement import place
from inferkit.precision.qdq import FP8, INT8, activation_scales, quantized_tensors, scale_of
from inferkit.precision.rewrite.fold import LINEAR, channel_axis, prepare
from inferkit.precision.rewrite.graph import Graph
from tests.precision.precision_graphs import ModelBuilder, check, images, models, op_types, run


def int8(build: ModelBuilder, x: np.ndarray, **options: object) -> Network:
    network = inferkit.at_precision(build.network(), "int8", [x], method="max", **options)
    check(network.model)
    return network


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@settings(max_examples=40)
@given(models())
def test_the_result_is_a_sound_graph_of_int8_close_to_the_original(model: onnx.ModelProto) -> None:
    network = Network.from_model(model, "drawn")
    x = images(8)
    original = model.SerializeToString(deterministic=True)
    if not any(node.op_type in LINEAR for node in model.graph.node):
        with pytest.raises(PrecisionError, match="none has constant"):
            inferkit.at_precision(network, "int8", [x])
        return
    quantized = inferkit.at_precision(network, "int8", [x], method="max")
    check(quantized.model)
    assert network.model.SerializeToString(deterministic=True) == original
    assert (quantized.inputs, quantized.outputs) == (network.inputs, network.outputs)
    expected = run(model, x)
    for actual in (run(quantized.model, x), run(quantized.model, x, as_written=True)):
        error = np.sqrt(np.mean((actual - expected) ** 2)) / (np.sqrt(np.mean(expected**2)) + 1e-3)
        assert error < 0.25  # up to nine layers of random weights, each of 8 bits; a wrong scale gives 1 and more


def test_zero_points_are_zero_of_type_int8_and_the_bias_stays_float() -> None:
    build = ModelBuilder(4)
    build.conv(8)
    build.add("Relu")
    build.gemm(5)
    model = int8(build, images()).model
    values = constants(model)
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = values[node.input[2]]
            assert zero.dtype == np.int8
            assert not zero.any()
        if node.op_type in ("Conv", "Gemm"):
            assert values[node.input[2]].dtype == np.float32


@pytest.mark.parametrize(
    "layer", ["conv", "grouped", "depthwise", "deconv", "deconv_grouped", "gemm", "gemm_transposed"]
)
def test_weights_have_one_scale_per_output_channel_and_err_by_half_a_step_at_most(layer: str) -> None:
    build = ModelBuilder(4)
    match layer:
        case "conv" | "grouped":
            build.conv(8, group=2 if layer == "grouped" else 1)
        case "depthwise":
            build.conv(4, group=4)
        case "deconv" | "deconv_grouped":
            build.deconv(8, group=2 if layer == "deconv_grouped" else 1)
        case "gemm" | "gemm_transposed":
            build.gemm(6, transposed=layer == "gemm_transposed")
    graph = prepare(build.model())
    [original] = place(graph).layers
    weights = graph.array(original.weights)
    assert weights is not None
    quantized = Graph(int8(build, images()).model)
    [node] = [node for node in quantized.nodes if node.op_type == original.node.op_type]
    dequantize = quantized.producer(node.input[1])
    assert dequantize is not None
    codes, scales = quantized.array(dequantize.input[0]), quantized.array(dequantize.input[1])
    assert codes is not None
    assert scales is not None
    axis = channel_axis(node)
    assert dequantize.attribute[0].i == axis
    assert (codes.dtype, scales.shape) == (np.int8, (weights.shape[axis],))
    shape = [1] * weights.ndim
    shape[axis] = -1
    steps = scales.reshape(shape)
    assert np.all(np.abs(codes * steps - weights) <= steps * 0.5001)  # rounded to the nearest code
    reduced_axes = tuple(a for a in range(weights.ndim) if a != axis)
    np.testing.assert_array_equal(np.abs(codes).max(axis=reduced_axes), 127)  # each channel uses its whole range


def test_weights_that_two_layers_share_are_stored_once() -> None:
    build = ModelBuilder(4)
    weights = build.weights(4, 4, 1, 1)
    build.add("Conv", weights)
    build.add("Conv", weights)
    model = int8(build, images()).model
    assert (
        sum(tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4 for tensor in model.graph.initializer)
        == 1
    )


@pytest.mark.parametrize("own", [2.0, 24.0, 25.0, 49.0, 0.0])
def test_tensors_of_one_group_share_a_scale_where_their_ranges_differ_by_a_factor_of_two_at_most(own: float) -> None:
    build = ModelBuilder(4)
    first = build.conv(4)
    second = build.conv(4)
    build.node("Concat", [first, second], axis=1, shape=(8, 8, 8))
    top = build.top
    build.conv(4)
    placement = place(prepare(build.model()))
    scales = activation_scales(placement, Calibration({"x": 1.0, first: own, top: 50.0}, "max"), INT8)
    assert scales[top] == scale_of(50.0, INT8)
    assert scales[first] == (scale_of(own, INT8) if own in (2.0, 24.0) else scales[top])  # zeros fit any scale
    assert scales["x"] == scale_of(1.0, INT8)


def test_small_tensors_of_a_group_share_a_scale_among_themselves() -> None:
    build = ModelBuilder(4)
    first = build.conv(4)
    pooled = build.node("MaxPool", [first], kernel_shape=[3, 3], pads=[1] * 4)
    second = build.conv(4)
    top = build.node("Concat", [pooled, second, first], axis=1, shape=(12, 8, 8))
    results = [build.conv(4)]
    results += [build.node("Conv", [source, build.weights(4, 4, 1, 1)]) for source in (first, pooled)]
    placement = place(prepare(build.model(*results)))
    calibration = Calibration({"x": 1.0, first: 3.0, pooled: 2.5, top: 50.0}, "max")
    scales = activation_scales(placement, calibration, INT8)
    assert scales[first] == scales[pooled] == scale_of(3.0, INT8)


@pytest.mark.parametrize("kind", ["Concat", "MaxPool"])
@pytest.mark.parametrize("ratio", [16.0, 60.0])
def test_a_source_that_another_layer_reads_too_keeps_its_own_scale(kind: str, ratio: float) -> None:
    """Error of one INT8 layer of normal numbers: about 0.01. With the scale of what is `ratio` as wide: over 0.1."""
    build = ModelBuilder(4)
    if kind == "Concat":
        wide = build.node("Mul", ["x", build.constant(ratio)])
        build.node("Concat", ["x", wide], axis=1, shape=(8, 8, 8))
        narrow = "x"
    else:  # what is pooled is the small part of a tensor that reaches far below zero
        wide = build.node("Min", ["x", build.node("Mul", ["x", build.constant(ratio)])])
        narrow = build.node("MaxPool", [wide], kernel_shape=[7, 7], pads=[3] * 4)
        build.top = wide
    of_wide = build.conv(4)
    build.top, build.shape = narrow, (4, 8, 8)
    of_narrow = build.conv(4)
    base = build.network(of_narrow, of_wide)
    quantized = inferkit.at_precision(base, "int8", [images()])
    expected, actual = run(base.model, images()), run(quantized.model, images())
    assert np.linalg.norm(actual - expected) < 0.03 * np.linalg.norm(expected)


def test_a_tensor_that_the_calibration_lacks_takes_its_groups_range_or_is_named() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    activation = build.add("Relu")
    pooled = build.add("MaxPool", kernel_shape=[2, 2], shape=(4, 7, 7))
    build.conv(4)
    placement = place(prepare(build.model()))
    scales = activation_scales(placement, Calibration({"x": 1.0, activation: 3.0}, "cache"), INT8)
    assert scales[pooled] == scale_of(3.0, INT8)  # pooling passes values on
    with pytest.raises(PrecisionError, match=pooled):
        activation_scales(placement, Calibration({"x": 1.0}, "cache"), INT8)


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_what_is_concatenated_from_known_tensors_has_the_widest_range_of_them(order: tuple[str, str]) -> None:
    build = ModelBuilder(4)
    amax = {build.node("Relu", ["x"]): 1.0, build.node("Neg", ["x"]): 10.0}
    names = dict(zip("ab", amax, strict=True))
    top = build.node("Concat", list(amax), axis=1, shape=(8, 8, 8))
    build.conv(4)
    cache = {names[which]: amax[names[which]] for which in order}
    scales = activation_scales(place(prepare(build.model())), Calibration(cache, "cache"), INT8)
    assert scales == {top: scale_of(10.0, INT8)}


def test_a_tensor_that_was_always_zero_gets_a_usable_scale() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    build.add("Mul", build.constant(0.0))
    build.add("Relu")
    build.conv(4)
    model = int8(build, images()).model
    assert all(np.isfinite(scale) and scale > 0 for scale in quantized_tensors(model).values())
    assert np.isfinite(run(model, images())).all()


def test_a_dead_channel_with_a_large_bias_keeps_its_bias() -> None:
    build = ModelBuilder(4)
    weights = build.random.standard_normal((4, 4, 3, 3)).astype(np.float32)
    weights[0] = 1e-12  # what folding makes of a channel that training switched off
    weights[1] = 0.0
    bias = np.float32([3.0, -2.0, 0.5, 0.25])
    build.add("Conv", build.constant(weights), build.constant(bias), pads=[1] * 4)
    build.add("Relu")
    build.conv(4)
    model = int8(build, images()).model
    expected = run(build.model(), images())
    for actual in (run(model, images()), run(model, images(), as_written=True)):
        assert np.abs(actual - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 3), (2, 1), (2, 3)])
def test_an_inner_product_may_have_any_bias_that_onnx_allows(shape: tuple[int, ...]) -> None:
    build = ModelBuilder()
    build.shape = (4,)
    build.input = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 4])
    weights = build.random.standard_normal((4, 3)).astype(np.float32)
    weights[:, 1] = 1e-12  # a channel that the bias decides
    bias = build.random.standard_normal(shape)
    build.add("Gemm", build.constant(weights), build.constant(bias), shape=(3,))
    x = build.random.standard_normal((2, 4)).astype(np.float32)
    expected = run(build.model(), x)
    for as_written in (True, False):
        actual = run(int8(build, x).model, x, as_written=as_written)
        assert np.abs(actual - expected).max() < 0.05 * np.abs(expected).max()


def test_values_all_negative_have_the_range_of_their_magnitudes() -> None:
    build = ModelBuilder(1)
    build.conv(4, 1)
    model = int8(build, -np.abs(images(channels=1)) - 1).model
    (scale,) = quantized_tensors(model).values()
    assert scale == pytest.approx(float((np.abs(images(channels=1)) + 1).max()) / 127)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_and_images_that_are_not_finite_are_named(bad: float) -> None:
    build = ModelBuilder(4)
    build.conv(4)
    x = images()
    x[2, 1, 3, 3] = bad
    with pytest.raises(PrecisionError, match=r"tensor 'x', images 1 to 3"):
        inferkit.at_precision(build.network(), "int8", [x])
    build = ModelBuilder(4)
    build.add("Conv", build.constant(np.full((4, 4, 1, 1), bad)))
    with pytest.raises(PrecisionError, match=r"Conv0.*NaN or infinity"):
        inferkit.at_precision(build.network(), "int8", [images()], exclude=())


def test_a_quantized_network_is_not_quantized_again() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    once = int8(build, images())
    for precision in ("int8", "fp16", "fp32"):
        calibration = [images()] if precision == "int8" else None
        with pytest.raises(PrecisionError, match="int8 already"):
            inferkit.at_precision(once, precision, calibration)
    foreign = Network.from_model(once.model, "quantized elsewhere")
    with pytest.raises(PrecisionError, match="quantized already"):
        inferkit.at_precision(foreign, "int8", [images()])


@given(st.floats(1e-30, 1e30), st.integers(-200, 200))
def test_a_pair_rounds_to_the_nearest_step_and_saturates(amax: float, position: int) -> None:
    scale = np.float32(scale_of(amax, INT8))
    x = np.float32(np.float32(amax) * np.float32(position / 100))
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])]
    nodes += [helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"])]
    values = [helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    parts = [numpy_helper.from_array(scale, "s"), numpy_helper.from_array(np.int8(0), "z")]
    graph = helper.make_graph(nodes, "pair", values[:1], values[1:], parts)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    actual = run(model, np.array([x]))[0]
    assert abs(actual - np.clip(x, -127 * scale, 127 * scale)) <= scale * 1.001  # ONNX allows -128, we never store it
    if abs(x) <= amax:
        assert abs(actual - x) <= scale * 0.5001


def test_fp8_stores_weights_as_e4m3_and_errs_by_a_sixteenth() -> None:
    build = ModelBuilder(4)
    build.conv(8)
    build.add("Relu")
    build.gemm(5)
    network = inferkit.at_precision(build.network(), "fp8", [images()], method="max", first_layer=True)
    check(network.model)
    stored = [t for t in network.model.graph.initializer if t.data_type == FP8.element and len(t.dims) > 1]
    assert len(stored) == 2
    for tensor in stored:
        codes = numpy_helper.to_array(tensor).astype(np.float32)
        assert 224.0 <= np.abs(codes).max() <= 448.0  # a scale of up to twice the narrowest costs no precision
    exact, actual = run(build.model(), images()), run(emulated(network).model, images())
    assert np.abs(actual - exact).max() < 0.1 * np.abs(exact).max()
    assert np.abs(actual - exact).max() > 0  # it did round


def test_fp8_weights_have_the_scale_of_least_error_and_none_is_clipped() -> None:
    build = ModelBuilder(16)
    kernel = np.random.default_rng(7).standard_normal((2, 16, 1, 1)).astype(np.float32)
    kernel[1] *= 1e-3
    build.add("Conv", build.constant(kernel), shape=(2, 8, 8))
    network = inferkit.at_precision(build.network(), "fp8", [images(channels=16)])
    tensors = {t.name: numpy_helper.to_array(t).astype(np.float32) for t in network.model.graph.initializer}
    [codes] = [values for name, values in tensors.items() if name.endswith("_fp8")]
    [scales] = [v for name, v in tensors.items() if name.endswith("_scale") and v.ndim == 1]
    actual = codes * scales[:, None, None, None]
    narrowest = np.abs(kernel).max(axis=(1, 2, 3)) / 448
    assert (scales >= narrowest * (1 - 1e-6)).all()
    assert (scales < 2 * narrowest).all()
    plain = (kernel / narrowest[:, None, None, None]).astype(ml_dtypes.float8_e4m3fn).astype(np.float32)
    plain *= narrowest[:, None, None, None]
    errors, before = (np.square(each - kernel).sum(axis=(1, 2, 3)) for each in (actual, plain))
    assert (errors < before).all()


def test_emulated_fp8_computes_what_the_onnx_standard_says() -> None:
    from onnx.reference import ReferenceEvaluator

    build = ModelBuilder(4)
    build.conv(8, group=2)
    build.add("Relu")
    build.residual()
    build.gemm(5, transposed=True)
    network = inferkit.at_precision(build.network(), "fp8", [images()], method="max")
    expected = ReferenceEvaluator(network.model).run(None, {"x": images()})[0]
    actual = run(emulated(network).model, images())
    # sums in another order move a value across a rounding boundary now and then: one step of 1/16 in a few of many
    assert np.abs(actual - expected).max() < 0.02 * np.abs(expected).max()
    assert "QuantizeLinear" not in op_types(emulated(network).model)
    assert ml_dtypes.finfo(ml_dtypes.float8_e4m3fn).max == FP8.largest


def test_the_backend_executes_fp8_without_losing_the_relu_before_a_pair() -> None:
    """ONNX Runtime drops a ReLU in front of an FP8 QuantizeLinear, as it may in front of an unsigned INT8 one."""
    build = ModelBuilder(4)
    build.conv(8)
    build.add("Relu")
    build.conv(8)
    network = inferkit.at_precision(build.network(), "fp8", [images()])
    with inferkit.build(network, "onnxruntime", 4, emulate=True).session() as session:
        [actual] = session.run(images()).values()
    exact = run(build.model(), images())
    assert np.abs(actual - exact).max() < 0.15 * np.abs(exact).max()
