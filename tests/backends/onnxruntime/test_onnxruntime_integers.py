"""INT8 graphs on ONNX Runtime's integer kernels compute what their Q/DQ pairs say, and say where they cannot."""

from __future__ import annotations

import platform
from collections import Counter

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inferkit
from inferkit.backends import build
from inferkit.backends.onnxruntime.integers import Lowered, lower, worth_lowering
from inferkit.network.network import Network
from tests.backends.small_networks import network

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="the rewriting is for the integer kernels of x86"
)

HEAD = '<ir_version: 8, opset_import: ["" : 17]> net (float[N, 4, 8, 8] data) => '


def random(*shape: int, seed: int = 0, spread: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * spread).astype(np.float32)


def quantized(plain: Network, batch: int = 8) -> Network:
    """The INT8 network, calibrated on images like those that it is tested with."""
    return inferkit.at_precision(plain, "int8", calibration=[random(batch, 4, 8, 8, seed=1)])


def operators(lowered: Lowered) -> Counter[str]:
    return Counter(node.op_type for node in lowered.model.graph.node)


def outputs(quantized_network: Network, fed: np.ndarray, *, integers: bool) -> dict[str, np.ndarray]:
    """What the INT8 graph computes on integer kernels, or pair by pair in floating point."""
    options = {"threads": 1, "integers": integers, "fuse_quantized": integers}
    engine = build(quantized_network, max_batch=len(fed), **options)
    assert bool(engine.info.details.get("integer_layers")) is integers
    with engine.session() as session:
        return session.run(fed)


def assert_as_the_pairs_say(plain: Network, layers: int = 1) -> None:
    """Codes differ by one where a sum lies at a tie; through `layers` layers such differences may add up."""
    int8, fed = quantized(plain), random(8, 4, 8, 8, seed=2)
    expected, found = outputs(int8, fed, integers=False), outputs(int8, fed, integers=True)
    exact = outputs_of_plain(plain, fed)
    for name, values in expected.items():
        difference = np.abs(found[name] - values)
        # what rounding differently at ties costs is far below what quantization costs anyway
        quantization = np.abs(values - exact[name]).mean()
        assert difference.mean() <= 0.25 * layers * quantization + 1e-6, name


def outputs_of_plain(plain: Network, fed: np.ndarray) -> dict[str, np.ndarray]:
    with build(plain, max_batch=len(fed), threads=1).session() as session:
        return session.run(fed)


def conv(seed: int, outputs: int = 4, inputs: int = 4, size: int = 3) -> dict[str, np.ndarray]:
    return {
        f"w{seed}": random(outputs, inputs, size, size, seed=seed, spread=0.4),
        f"b{seed}": random(outputs, seed=seed + 100),
    }


VGG_LIKE = f"""{HEAD} (float[N, 3] out) {{
  c1 = Conv <pads = [1, 1, 1, 1]> (data, w1, b1)
  r1 = Relu(c1)
  c2 = Conv <pads = [1, 1, 1, 1]> (r1, w2, b2)
  r2 = Relu(c2)
  p2 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r2)
  f = Flatten(p2)
  out = Gemm <transB = 1> (f, w3, b3)
}}"""


def vgg_like() -> Network:
    return network(VGG_LIKE, **conv(1), **conv(2), w3=random(3, 64, seed=3), b3=random(3, seed=4))


def test_a_chain_of_layers_computes_on_codes_from_the_input_to_the_last_sum() -> None:
    found = operators(lower(quantized(vgg_like()).model))
    assert found == {"QuantizeLinear": 1, "QLinearConv": 2, "Clip": 2, "MaxPool": 1, "Flatten": 1, "QGemm": 1}
    assert_as_the_pairs_say(vgg_like(), layers=3)


def test_the_model_that_is_lowered_stays_as_it_is() -> None:
    int8 = quantized(vgg_like())
    before = int8.model.SerializeToString(deterministic=True)
    lower(int8.model)
    assert int8.model.SerializeToString(deterministic=True) == before


def test_names_stay_unique() -> None:
    lowered = lower(quantized(vgg_like()).model).model
    names = [node.name for node in lowered.graph.node]
    tensors = [name for node in lowered.graph.node for name in node.output]
    assert len(set(names)) == len(names)
    assert len(set(tensors)) == len(tensors)


def test_branches_that_are_concatenated_stay_codes() -> None:
    fire = network(
        f"""{HEAD} (float[N, 4, 8, 8] out) {{
          s = Conv (data, w1, b1)  r = Relu(s)
          l = Conv (r, w2, b2)  lr = Relu(l)
          g = Conv <pads = [1, 1, 1, 1]> (r, w3, b3)  gr = Relu(g)
          c = Concat <axis = 1> (lr, gr)
          out = Conv (c, w4, b4)
        }}""",
        **conv(1, size=1),
        **conv(2, size=1),
        **conv(3),
        **conv(4, inputs=8, size=1),
    )
    found = operators(lower(quantized(fire).model))
    assert found["QLinearConv"] == 3  # the last one's output is read as it is
    assert found["QuantizeLinear"] == 1
    assert_as_the_pairs_say(fire, layers=3)


def test_a_layer_before_a_residual_addition_stays_in_floating_point() -> None:
    block = network(
        f"""{HEAD} (float[N, 4, 8, 8] out) {{
          a = Conv (data, w1, b1)  ar = Relu(a)
          b = Conv (ar, w2, b2)
          sum = Add (b, ar)  sr = Relu(sum)
          out = Conv (sr, w3, b3)
        }}""",
        **conv(1, size=1),
        **conv(2, size=1),
        **conv(3, size=1),
    )
    lowered = lower(quantized(block).model)
    found = operators(lowered)
    assert found["Conv"] == lowered.float_layers == 2  # before the addition, and the output
    assert found["QLinearConv"] == lowered.integer_layers == 1
    assert_as_the_pairs_say(block, layers=3)


def test_a_tensor_that_is_also_read_unquantized_stays_in_floating_point() -> None:
    both = network(
        f"""{HEAD} (float[N, 4, 8, 8] out, float[N, 4, 8, 8] mean) {{
          a = Conv (data, w1, b1)
          mean = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (a)
          out = Conv (a, w2, b2)
        }}""",
        **conv(1, size=1),
        **conv(2, size=1),
    )
    int8 = quantized(both)
    lowered = lower(int8.model)
    assert lowered.integer_layers == 0
    assert lowered.model is int8.model


def test_pooling_with_no_layer_on_codes_above_it_pools_floats() -> None:
    pooled = network(
        f"""{HEAD} (float[N, 4, 4, 4] out) {{
          s = Sigmoid (data)
          p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (s)
          a = Conv (p, w1, b1)  r = Relu (a)
          out = Conv (r, w2, b2)
        }}""",
        **conv(1, size=1),
        **conv(2, size=1),
    )
    nodes = lower(quantized(pooled).model).model.graph.node
    pool = next(node for node in nodes if node.op_type == "MaxPool")
    assert pool.input[0] == "s"
    assert [node.op_type for node in nodes if pool.output[0] in node.input] == ["QuantizeLinear"]
    assert_as_the_pairs_say(pooled, layers=2)


def test_depthwise_layers_without_bias_and_clipped_relus() -> None:
    mobile = network(
        f"""{HEAD} (float[N, 2, 8, 8] out) {{
          a = Conv <group = 4, pads = [1, 1, 1, 1]> (data, w1)
          r = Clip (a, low, high)
          b = Conv (r, w2, b2)  br = Relu (b)
          out = Conv (br, w3, b3)
        }}""",
        w1=random(4, 1, 3, 3, seed=1),
        low=np.float32(0),
        high=np.float32(1.5),
        **conv(2, size=1),
        **conv(3, outputs=2, size=1),
    )
    assert operators(lower(quantized(mobile).model))["QLinearConv"] == 2
    assert_as_the_pairs_say(mobile, layers=3)


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_chain_computes_what_its_pairs_say(data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.sampled_from(["relu", "maxpool", "transpose", "clip"]), max_size=3))
    size, stride = data.draw(st.sampled_from([1, 3])), data.draw(st.integers(1, 2))
    group, bias = data.draw(st.sampled_from([1, 2])), data.draw(st.booleans())
    lines = [
        f"t0 = Conv <strides = [{stride}, {stride}], group = {group}, pads = [1, 1, 1, 1]> "
        f"(data, w1{', b1' if bias else ''})"
    ]
    for number, step in enumerate(steps):
        call = {
            "relu": "Relu ({0})",
            "maxpool": "MaxPool <kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1]> ({0})",
            "transpose": "Transpose <perm = [0, 1, 3, 2]> ({0})",
            "clip": "Clip ({0}, low, high)",
        }[step]
        lines.append(f"t{number + 1} = {call.format(f't{number}')}")
    lines.append(f"out = Conv (t{len(steps)}, w2, b2)")
    seed = data.draw(st.integers(1, 50))
    weights = {"w1": random(4, 4 // group, size, size, seed=seed, spread=0.5), **conv(2, size=1)}
    if bias:
        weights["b1"] = random(4, seed=seed + 1)
    if "clip" in steps:
        weights |= {"low": np.float32(-0.3), "high": np.float32(1.1)}
    body = "\n".join(lines)
    plain = network(f"{HEAD} (float[N, 4, A, B] out) {{ {body} }}", **weights)
    assert lower(quantized(plain).model).integer_layers == 1
    assert_as_the_pairs_say(plain, layers=2)


def pair(name: str, scale: str, zero: str) -> str:
    return f"{name}q = QuantizeLinear ({name}, {scale}, {zero}) {name}d = DequantizeLinear ({name}q, {scale}, {zero})"


@pytest.mark.parametrize("zero", [np.uint8(0), np.uint8(77), np.int8(0), np.int8(-128), np.int8(5)])
def test_one_layer_with_any_zero_points_differs_by_one_code_at_most(zero: np.generic) -> None:
    text = f"""{HEAD} (float[N, 4, 8, 8] out) {{
      {pair("data", "s", "z")}
      wd = DequantizeLinear <axis = 0> (w, sw, zw)
      c = Conv (datad, wd, b)
      r = Relu (c)
      q = QuantizeLinear (r, t, z)
      out = DequantizeLinear (q, t, z)
    }}"""
    given_pairs = network(
        text,
        s=np.float32(0.02),
        z=np.array(zero),
        t=np.float32(0.05),
        w=np.random.default_rng(3).integers(-127, 128, (4, 4, 1, 1)).astype(np.int8),
        sw=np.float32([0.01, 0.02, 0.005, 0.01]),
        zw=np.zeros(4, np.int8),
        b=random(4, seed=5),
    )
    # `out` is a pair's own result, so the pair stays; one more layer below reads the same codes
    lowered = lower(given_pairs.model)
    assert lowered.integer_layers == 1
    fed = random(8, 4, 8, 8, seed=2)
    found = run_model(lowered.model, fed)
    expected = run_model(given_pairs.model, fed)
    steps = np.abs(found - expected) / 0.05
    assert steps.max() < 1.01
    assert (steps > 0.5).mean() < 0.02  # ties only


QUANTIZED_CONV = f"""{HEAD.replace("17", "21")} (float[N, 4, 8, 8] out) {{{{
  q = QuantizeLinear {{0}}  d = DequantizeLinear {{1}}
  wd = DequantizeLinear <axis = 0> (w, sw)
  c = Conv (d, wd)
  r = Relu (c)
  q2 = QuantizeLinear (r, t)  d2 = DequantizeLinear (q2, t)
  wd2 = DequantizeLinear <axis = 0> (w, sw)
  out = Conv (d2, wd2)
}}}}"""


@pytest.mark.parametrize(
    ("quantizer", "dequantizer", "integer_layers"),
    [
        ("(data, s, z)", "(q, s, z)", 1),
        ("(data, s, z)", "(q, s)", 1),  # no zero point is 0, in the type of the codes
        ("<output_dtype = 3> (data, s)", "(q, s)", 1),  # 3 is INT8
        ("(data, s, z)", "(q, other, z)", 0),
        ("(data, s, z)", "(q, s, z5)", 0),
        ("(data, s, z5)", "(q, s)", 0),
        ("(data, s, z)", "(q, each, zeros)", 0),
    ],
)
def test_codes_that_are_read_otherwise_than_they_were_written_stay(
    quantizer: str, dequantizer: str, integer_layers: int
) -> None:
    """Other tools may write a DequantizeLinear that does not undo its QuantizeLinear: that is a computation too."""
    given_pairs = network(
        QUANTIZED_CONV.format(quantizer, dequantizer),
        s=np.float32(0.02),
        other=np.float32(0.04),
        each=np.float32([0.02, 0.03, 0.04, 0.05]),
        z=np.int8(0),
        z5=np.int8(5),
        zeros=np.zeros(4, np.int8),
        t=np.float32(0.05),
        w=np.random.default_rng(3).integers(-127, 128, (4, 4, 1, 1)).astype(np.int8),
        sw=np.float32([0.01, 0.02, 0.005, 0.01]),
    )
    lowered = lower(given_pairs.model)
    assert lowered.integer_layers == integer_layers
    fed = random(8, 4, 8, 8, seed=2)
    # a tie that is rounded otherwise moves a code by one step of 0.05, times a weight of 127 * 0.02 at most
    difference = np.abs(run_model(lowered.model, fed) - run_model(given_pairs.model, fed))
    assert difference.max() < 2 * 0.05 * 127 * 0.02
    assert (difference > 1e-3).mean() < 0.02  # ties only


def test_a_bias_that_differs_between_images_is_none_of_the_channels() -> None:
    build_text = """<ir_version: 8, opset_import: ["" : 17]> net (float[3, 4] data) => (float[3, 3] out) {
      q = QuantizeLinear (data, s, z)  d = DequantizeLinear (q, s, z)
      wd = DequantizeLinear <axis = 1> (w, sw, zw)
      out = Gemm (d, wd, b)
    }"""
    plain = network(
        build_text,
        s=np.float32(0.02),
        z=np.int8(0),
        w=np.random.default_rng(3).integers(-127, 128, (4, 3)).astype(np.int8),
        sw=np.full(3, 0.01, np.float32),
        zw=np.zeros(3, np.int8),
        b=np.float32([[1], [20], [300]]),
    )
    assert lower(plain.model).integer_layers == 0


def run_model(model: onnx.ModelProto, fed: np.ndarray) -> np.ndarray:
    plain = Network.from_model(model, "given")
    with build(plain, max_batch=len(fed), threads=1, integers=False, fuse_quantized=False).session() as session:
        return session.run(fed)["out"]


def test_weights_with_a_zero_point_are_left_alone() -> None:
    int8 = quantized(vgg_like())
    changed = onnx.ModelProto.FromString(int8.model.SerializeToString())
    for tensor in changed.graph.initializer:
        if tensor.name.startswith("w") and tensor.name.endswith("_zero_point"):
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.ones(tensor.dims, np.int8), tensor.name))
    assert lower(changed).integer_layers == 0


def test_a_graph_without_pairs_is_not_worth_it() -> None:
    assert not worth_lowering(vgg_like().model)
    assert build(vgg_like()).info.details.get("integer_layers") is None


def test_an_engine_says_how_many_layers_compute_on_codes() -> None:
    details = build(quantized(vgg_like())).info.details
    assert (details["integer_layers"], details["float_layers"]) == (3, 0)


def test_trained_networks_keep_their_answers() -> None:
    from inferkit.data import open_dataset
    from inferkit.data.pixels.preprocessing import Preprocessing

    with open_dataset("fashion_mnist") as dataset:
        batch = next(dataset.batches(500, preprocessing=Preprocessing(scale=1 / 256)))
    plain = inferkit.load("lenet")
    int8 = inferkit.at_precision(plain, "int8", calibration=[batch.images[:100]])
    answers = {}
    for integers in (True, False):
        engine = build(int8, max_batch=500, threads=1, integers=integers, fuse_quantized=integers)
        with engine.session() as session:
            answers[integers] = session.run(batch.images)["prob"].argmax(axis=1)
    assert (answers[True] == answers[False]).mean() > 0.99
