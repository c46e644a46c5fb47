"""FP16 and BF16: which tensors become half, which stay FP32, and which values half precision cannot hold."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import inferkit
from inferkit.errors import PrecisionError, UsageError
from inferkit.network.network import Network
from inferkit.precision.emulation import emulated
from inferkit.precision.halves import BF16, FP16, loss
from inferkit.precision.rewrite.graph import Graph
from tests.precision.precision_graphs import ModelBuilder, check, decomposed_mvn, images, models, op_types, run

# Relative rounding error of one value, and how much of it a few layers in a row may add up to.
ERROR = {"fp16": 2**-11 * 20, "bf16": 2**-8 * 20}


def half(build: ModelBuilder, precision: str = "fp16", **options: object) -> Network:
    network = inferkit.at_precision(build.network(), precision, **options)
    check(network.model)
    return network


def element_types(network: Network) -> dict[str, int]:
    return {name: value_type.element for name, value_type in Graph(network.model).types().items()}


def computed_in(network: Network, op_type: str) -> set[int]:
    """The element types of what nodes of this type return."""
    types = element_types(network)
    return {types[node.output[0]] for node in network.model.graph.node if node.op_type == op_type}


def execute(network: Network, x: np.ndarray) -> np.ndarray:
    return run(emulated(network).model, x) if network.precision == "bf16" else run(network.model, x)


@settings(max_examples=40)
@given(models(), st.sampled_from(("fp16", "bf16")))
def test_the_result_is_a_sound_graph_close_to_the_original(model: onnx.ModelProto, precision: str) -> None:
    network = Network.from_model(model, "drawn")
    original = model.SerializeToString(deterministic=True)
    actual = inferkit.at_precision(network, precision)
    check(actual.model)
    assert network.model.SerializeToString(deterministic=True) == original
    assert (actual.inputs, actual.outputs) == (network.inputs, network.outputs)
    x = images()
    expected = run(model, x)
    error = np.sqrt(np.mean((execute(actual, x) - expected) ** 2)) / (np.sqrt(np.mean(expected**2)) + 1e-3)
    assert error < ERROR[precision]


@pytest.mark.parametrize(("precision", "element"), [("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)])
def test_weights_and_tensors_are_half_and_the_edges_are_float32(precision: str, element: int) -> None:
    build = ModelBuilder(4)
    build.conv(8)
    build.batch_norm()
    build.add("Relu")
    build.gemm(5)
    network = half(build, precision)
    assert {tensor.data_type for tensor in network.model.graph.initializer if len(tensor.dims) > 1} == {element}
    assert computed_in(network, "Conv") == computed_in(network, "Relu") == computed_in(network, "Gemm") == {element}
    assert (network.inputs[0].dtype, network.outputs[0].dtype) == ("float32", "float32")
    assert op_types(network.model) == ["Cast", "Conv", "Relu", "Flatten", "Gemm", "Cast"]


def test_inputs_and_outputs_are_half_on_request() -> None:
    build = ModelBuilder(4)
    build.conv(8)
    network = half(build, half_inputs=True, half_outputs=True)
    assert op_types(network.model) == ["Conv"]
    actual = run(network.model, images().astype(np.float16))
    assert actual.dtype == np.float16
    np.testing.assert_allclose(actual, run(build.model(), images()), atol=0.02)


def test_an_output_in_the_middle_keeps_its_name_and_type() -> None:
    build = ModelBuilder(4)
    middle = build.conv(4)
    build.add("Relu")
    build.conv(4)
    network = inferkit.at_precision(build.network(middle, build.top), "fp16")
    check(network.model)
    assert [(out.name, out.dtype) for out in network.outputs] == [(middle, "float32"), (build.top, "float32")]


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("LRN", {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}),
        ("Softmax", {"axis": 1}),
        ("MeanVarianceNormalization", {"axes": [2, 3]}),
        ("Exp", {}),
        ("Softplus", {}),
        ("ReduceL2", {"axes": [1]}),
        ("ReduceMean", {"axes": [2, 3]}),
    ],
)
def test_what_overflows_half_precision_stays_fp32(op_type: str, attributes: dict) -> None:
    build = ModelBuilder(4)
    build.conv(4)
    build.add(op_type, **attributes)
    build.conv(4) if "Reduce" not in op_type else build.add("Relu")
    assert computed_in(half(build), op_type) == {TensorProto.FLOAT}


def test_a_normalization_in_single_steps_is_one_island() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    decomposed_mvn(build)
    build.conv(4)
    network = half(build)
    for op_type in ("Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div"):
        assert computed_in(network, op_type) == {TensorProto.FLOAT}
    assert computed_in(network, "Conv") == {TensorProto.FLOAT16}


@pytest.mark.parametrize("scale", [300.0, 30_000.0])
def test_large_values_pass_through_normalization(scale: float) -> None:
    build = ModelBuilder(4)
    build.add("LRN", size=3, alpha=1e-4, beta=0.75, bias=1.0)
    decomposed_mvn(build)
    build.conv(4)
    x = images() * np.float32(scale / 4)  # squares of up to 1e9, sixteen thousand times beyond FP16
    actual = ReferenceEvaluator(half(build).model).run(None, {"x": x})[0]
    np.testing.assert_allclose(actual, run(build.model(), x), atol=0.02)


def test_normalization_after_a_concatenation_is_multiplied_out() -> None:
    build = ModelBuilder(4)
    first = build.conv(4)
    second = build.add("Sigmoid")
    build.node("Concat", [first, second], axis=1, shape=(8, 8, 8))
    variance = build.constant(np.full(8, 1e-7))  # below FP16's normal range, as is the usual epsilon
    ones, zeros = build.constant(np.ones(8)), build.constant(np.zeros(8))
    build.add("BatchNormalization", ones, zeros, zeros, variance, epsilon=1e-7)
    build.per_channel("Mul")
    build.conv(4, 1)
    network = half(build)
    assert "BatchNormalization" not in op_types(network.model)
    expected = run(build.model(), images())
    np.testing.assert_allclose(run(network.model, images()), expected, atol=5e-3 * np.abs(expected).max())


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_normalizations_in_a_row_become_one(precision: str) -> None:
    build = ModelBuilder(4)
    for _ in range(3):
        build.batch_norm()
    build.conv(4)
    network = half(build, precision)
    assert op_types(network.model) == ["Cast", "Mul", "Add", "Conv", "Cast"]
    expected = run(build.model(), images())
    np.testing.assert_allclose(execute(network, images()), expected, atol=ERROR[precision] * np.abs(expected).max())


def test_weights_that_overflow_are_reported_by_layer() -> None:
    build = ModelBuilder(4)
    build.add("Conv", build.constant(np.full((4, 4, 1, 1), 1e5)))
    build.conv(4)
    network = half(build)
    assert network.notes == (
        "layer 'Conv0': 16 of 16 values of 'c0' overflow (largest 1e+05): kept fp32",
        "fp16 reaches 90% of the operations; not Conv0 (Conv)",  # its 4 products beside the other's 36
    )
    types = element_types(network)
    assert types[network.model.graph.node[0].output[0]] == TensorProto.FLOAT
    actual = run(half(build, "fp16").model, images() * 1e-3)
    expected = run(build.model(), images() * 1e-3)
    np.testing.assert_allclose(actual, expected, atol=2e-3 * np.abs(expected).max())
    with pytest.raises(PrecisionError, match=r"Conv0.*16 of 16.*overflow='fp32'"):
        half(build, overflow="error")
    assert half(build, "bf16").notes == ()  # BF16 has FP32's range


def test_weights_below_the_normal_range_are_reported_too() -> None:
    build = ModelBuilder(4)
    build.add("Conv", build.constant(build.random.standard_normal((4, 4, 1, 1)) * 1e-6))
    build.add("Add", build.constant(np.full((4, 1, 1), 1.0)))
    build.add("Div", build.constant(np.full((1, 1, 1, 8), 1e-9)))
    network = half(build)
    assert [("underflow" in note, note.split("'")[1]) for note in network.notes[:2]] == [
        (True, "Conv0"),
        (True, "Div2"),
    ]
    assert network.notes[2:] == ("fp16 changed nothing: Conv0 (Conv) stayed as it was",)  # nor is Add, between them
    assert computed_in(network, "Div") == {TensorProto.FLOAT}


@pytest.mark.parametrize("beta", [1.0, 1e3])
def test_a_bias_below_the_normal_range_keeps_no_layer(beta: float) -> None:
    """What it loses is less than the smallest step of the sum that it is added to."""
    build = ModelBuilder(4)
    build.add("Conv", build.weights(4, 4, 1, 1), build.constant(np.full(4, 1e-9)))
    build.flatten()
    build.add("Gemm", build.weights(build.shape[0], 3), build.constant(np.full(3, 1e-9)), beta=beta, shape=(3,))
    network = half(build)
    assert network.notes == ()
    assert computed_in(network, "Conv") == computed_in(network, "Gemm") == {TensorProto.FLOAT16}
    np.testing.assert_allclose(run(network.model, images()), run(build.model(), images()), atol=2e-2)


def test_small_values_among_larger_ones_keep_no_layer() -> None:
    """Those of a summand, a factor or recurrent weights; none of a divisor may vanish."""
    some = np.linspace(1e-9, 1, 8).astype(np.float32).reshape(1, 1, 1, 8)
    build = ModelBuilder(4)
    build.add("Add", build.constant(some))
    build.add("Mul", build.constant(some))
    build.add("Add", build.constant(2e-6))  # an epsilon that half precision has, if not exactly
    build.add("Div", build.constant(some))
    assert [note.split("'")[1] for note in half(build).notes] == ["Div3"]
    recurrent = ModelBuilder(4)
    recurrent.add("Reshape", recurrent.constant(np.array([1, -1, 8]), np.int64), shape=(8,))
    weights = [recurrent.random.standard_normal((1, 20, size)) * 0.1 for size in (8, 5)]
    weights[1][0, 3, 3] = 1e-9
    recurrent.add("LSTM", *map(recurrent.constant, weights), recurrent.constant(np.full((1, 40), 1e-9)), hidden_size=5)
    assert half(recurrent).notes == ()
    assert computed_in(half(recurrent), "LSTM") == {TensorProto.FLOAT16}


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
def test_what_is_lost_is_what_does_not_come_back(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    actual = loss("layer", "w", array, FP16, tolerated=None)
    back = FP16.round(array).astype(np.float32)
    overflows, vanishes = not np.isfinite(back).all(), bool(((back == 0) & (array != 0)).any())
    assert (actual is not None) == (overflows or vanishes)
    if actual is not None:
        assert actual.kind == ("overflow" if overflows else "underflow")
    if not ((array != 0) & (np.abs(array) < BF16.smallest)).any():  # FP32's own subnormal numbers, BF16 has fewer
        assert loss("layer", "w", array, BF16, tolerated=1e-2) is None


def test_bounds_beyond_half_precision_become_its_largest_number() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    build.add("Clip", build.constant(0.0), build.constant(3e38))
    network = half(build)
    assert computed_in(network, "Clip") == {TensorProto.FLOAT16}
    assert network.notes == ()
    bounds = [numpy_helper.to_array(t) for t in network.model.graph.initializer if not t.dims]
    assert max(float(bound) for bound in bounds) == FP16.largest


def test_integers_and_what_must_be_float32_are_left_alone() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    scales = build.constant([1, 1, 2, 2])
    build.node("Resize", [build.top, "", scales], mode="nearest", shape=(4, 16, 16))
    build.add("Reshape", build.constant([0, 4, 256], np.int64), shape=(4, 256))
    network = half(build)
    kept = {tensor.name: tensor.data_type for tensor in network.model.graph.initializer}
    assert kept[scales] == TensorProto.FLOAT
    assert TensorProto.INT64 in kept.values()
    np.testing.assert_allclose(run(network.model, images()), run(build.model(), images()), atol=0.02)


def test_a_number_that_becomes_an_integer_never_passes_through_half() -> None:
    table = np.arange(5000, dtype=np.float32).reshape(-1, 1)
    nodes = [
        helper.make_node("Cast", ["x"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["row"]),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1),
        helper.make_node("Cast", ["best"], ["y"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["row"], ["scores"]),
    ]
    shapes = {"x": ["N", 4], "y": ["N", 1]}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [numpy_helper.from_array(table, "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    network = inferkit.at_precision(Network.from_model(model, "index"), "fp16")
    check(network.model)
    x = np.float32([[4097, 4099, 4001, 3], [1, 2, 4999, 4095]])  # FP16 knows no 4097 or 4999
    np.testing.assert_array_equal(run(network.model, x), run(model, x))
    assert element_types(network)["best"] == TensorProto.INT64


def test_branches_and_loops_compute_in_fp32() -> None:
    build = ModelBuilder(4)
    inner = build.conv(4)
    outputs = {name: [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)] for name in "rn"}
    then = helper.make_graph([helper.make_node("Relu", [inner], ["r"])], "then", [], outputs["r"])
    otherwise = helper.make_graph([helper.make_node("Neg", [inner], ["n"])], "else", [], outputs["n"])
    build.node("If", [build.constant(True, np.bool_)], then_branch=then, else_branch=otherwise)
    build.conv(4)
    network = half(build)
    assert computed_in(network, "If") == {TensorProto.FLOAT}
    assert computed_in(network, "Conv") == {TensorProto.FLOAT16}
    np.testing.assert_allclose(run(network.model, images()), run(build.model(), images()), atol=0.05)


def test_layers_stay_fp32_by_name() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    build.conv(4)
    network = half(build, keep=["Conv1"])
    types = element_types(network)
    actual = {node.name: types[node.output[0]] for node in network.model.graph.node if node.op_type == "Conv"}
    assert actual == {"Conv0": TensorProto.FLOAT16, "Conv1": TensorProto.FLOAT}
    with pytest.raises(PrecisionError, match="'fc9'"):
        half(build, keep="fc9")


def test_an_operator_without_a_type_is_named() -> None:
    build = ModelBuilder(4)
    build.nodes.append(helper.make_node("Odd", ["x"], ["o"], domain="elsewhere"))
    build.top = "o"
    build.conv(4)
    values = [helper.make_tensor_value_info(build.top, TensorProto.FLOAT, None)]
    graph = helper.make_graph(build.nodes, "g", [build.input], values, build.initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("elsewhere", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    with pytest.raises(PrecisionError, match="'o'"):
        inferkit.at_precision(Network.from_model(model, "odd"), "fp16")


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_emulation_computes_what_the_onnx_standard_says(precision: str) -> None:
    build = ModelBuilder(4)
    build.conv(8)
    build.add("Relu")
    build.residual()
    build.gemm(5, transposed=True)
    build.add("Softmax", axis=1)
    network = half(build, precision)
    expected = np.asarray(ReferenceEvaluator(network.model).run(None, {"x": images()})[0])
    # FP16 sums differ: the reference adds in half, the emulation (as a GPU) in FP32
    np.testing.assert_allclose(run(emulated(network).model, images()), expected, atol=ERROR[precision] / 4)


def test_options_and_calibrations_that_make_no_sense_are_refused() -> None:
    build = ModelBuilder(4)
    build.conv(4)
    with pytest.raises(UsageError, match="'fp32' or 'error'"):
        half(build, overflow="maybe")
    with pytest.raises(UsageError, match="needs no calibration"):
        inferkit.at_precision(build.network(), "fp16", [images()])
    with pytest.raises(UsageError, match="'exclude'"):
        half(build, exclude=["x"])


def test_types_that_shape_inference_does_not_tell_come_from_the_operators_definition() -> None:
    """onnx has no rule for GroupNormalization from operator set 21 on, and tells nothing of what follows it."""
    build = ModelBuilder(4, opset=22)
    build.conv(8)
    build.add("GroupNormalization", build.constant(np.ones(8)), build.constant(np.zeros(8)), num_groups=2)
    build.add("Relu")
    build.gemm(5)
    outputs = [helper.make_tensor_value_info(build.top, TensorProto.FLOAT, ["N", 5])]
    graph = helper.make_graph(build.nodes, "test", [build.input], outputs, build.initializers)
    model = check(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10))
    network = inferkit.at_precision(Network.from_model(model, "test"), "fp16")
    check(network.model)
    assert computed_in(network, "Gemm") == {TensorProto.FLOAT16}
    assert computed_in(network, "GroupNormalization") == {TensorProto.FLOAT}
    expected = run(model, images())
    assert np.abs(run(network.model, images()) - expected).max() < ERROR["fp16"] * np.abs(expected).max()
