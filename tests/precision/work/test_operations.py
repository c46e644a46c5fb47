"""Operations and weights are counted whatever type the weights are stored in, and inside the bodies of a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from onnx import numpy_helper, parser

from inferkit.measure.layers.network_layers import layers_of, remarks_on, totals_of
from inferkit.measure.layers.roofline import card_of, limit_of, work_of
from inferkit.network.network import Network

SQUARE = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
CODES = np.arange(-32, 32, dtype=np.int8).reshape(8, 8)


def network(text: str, **constants: np.ndarray) -> Network:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17, "own" : 1, "com.microsoft" : 1]>\n{text}')
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items())
    return Network.from_model(model, "counted")


SCALES = {"s": np.float32(0.1), "z": np.uint8(128), "sw": np.full(8, 0.1, np.float32), "zw": np.zeros(8, np.int8)}
KERNEL = np.ones((5, 2, 3, 3), np.int8)
QUANTIZED: Mapping[str, tuple[str, dict[str, np.ndarray], int, int, int]] = {
    "MatMulInteger": ("float[N, 8] x) => (int32[N, 8] y) { q, a, b = DynamicQuantizeLinear(x) "
                      "y = MatMulInteger(q, w, b) }",
                      {"w": CODES}, 64, 64, 128),
    "QLinearMatMul": ("uint8[N, 8] x) => (uint8[N, 8] y) { y = QLinearMatMul(x, s, z, w, sw, zw, s, z) }",
                      {"w": CODES, **SCALES}, 64, 64, 128),
    "QLinearConv": ("uint8[N, 2, 6, 6] x) => (uint8[N, 5, 4, 4] y) { y = QLinearConv(x, s, z, k, s, c, s, z, b) }",
                    {"k": KERNEL, "b": np.ones(5, np.int32), "c": np.int8(0), **SCALES}, 95, 110, 2 * 80 * 18),
    "ConvInteger": ("uint8[N, 2, 6, 6] x) => (int32[N, 5, 4, 4] y) { y = ConvInteger(x, k, z) }",
                    {"k": KERNEL, **SCALES}, 90, 90, 2 * 80 * 18),
    "dequantized weights": ("float[N, 8] x) => (float[N, 8] y) { d = DequantizeLinear(w, s) y = MatMul(x, d) }",
                            {"w": CODES, **SCALES}, 64, 64, 128),
    "dequantized and transposed": ("float[N, 8] x) => (float[N, 8] y) { d = DequantizeLinear(w, s) t = Transpose(d) "
                                   "y = Gemm(x, t) }", {"w": CODES, **SCALES}, 64, 64, 128),
    "QGemm": ("uint8[N, 8] x) => (uint8[N, 8] y) { y = com.microsoft.QGemm(x, s, z, w, s, c, b, s, z) }",
              {"w": CODES, "b": np.ones(8, np.int32), "c": np.int8(0), **SCALES}, 72, 96, 128),
    "after an operator of ONNX Runtime's own": (
        "float[N, 8] x) => (float[N, 8] y) { g = com.microsoft.FastGelu(x) y = MatMul(g, w) }",
        {"w": CODES.astype(np.float32)}, 64, 256, 128),
    "a table of codes": ("int64[N, 3] x) => (float[N, 3, 8] y) { r = Gather(w, x) y = DequantizeLinear(r, s) }",
                         {"w": CODES, **SCALES}, 64, 64, 0),
}  # fmt: skip


@pytest.mark.parametrize("kind", QUANTIZED)
def test_weights_of_bytes_count(kind: str) -> None:
    text, constants, parameters, stored, operations = QUANTIZED[kind]
    counted = network(f"g ({text}", **constants)
    totals = totals_of(counted, layers_of(counted))
    assert (totals.parameters, totals.weight_bytes, totals.operations) == (parameters, stored, operations)


@pytest.mark.parametrize("kind", ["MatMulInteger", "QLinearConv"])
def test_a_layer_on_codes_computes_in_int8(kind: str) -> None:
    text, constants, *_ = QUANTIZED[kind]
    assert (
        next(layer.precision for layer in layers_of(network(f"g ({text}", **constants)) if layer.op == kind) == "int8"
    )


def test_weights_that_are_stored_in_bytes_are_read_as_such() -> None:
    text, constants, *_ = QUANTIZED["dequantized weights"]
    work, card = work_of(network(f"g ({text}", **constants)), card_of("H200")
    assert (work.weights, work.stored_bytes) == (64, 64)
    assert card is not None
    assert limit_of(work, "fp32", 1, card).bytes == pytest.approx((64 + (8 + 8) * 4) / card.bandwidth)


IF = """g (float[N, 8] x, bool c) => (float[N, 8] y) { y = If (c)
    <then_branch = a () => (float[N, 8] p) { q = MatMul(x, w) p = MatMul(q, v) },
     else_branch = b () => (float[N, 8] r) { r = MatMul(x, w) }> }"""


def loop(count: str, condition: str = "Identity(go)") -> str:
    return f"""g (float[N, 8] x, float[5, N, 8] steps, int64 told, float limit) => (float[N, 8] y) {{
    shape = Shape(steps) zero = Constant<value_int = 0>() length = Gather(shape, zero)
    seven = Constant<value_int = 7>() yes = Constant<value = bool {{1}}>()
    y = Loop ({count}, yes, x) <body = each (int64 i, bool go, float[N, 8] state) => (bool on, float[N, 8] next)
        {{ on = {condition} step = Gather(steps, i) sum = Add(state, step) next = MatMul(sum, w) }}> }}"""


SCAN = """g (float[N, 8] x, float[N, 6, 8] steps) => (float[N, 8] y, float[6, N, 8] all) { y, all = Scan (x, steps)
    <num_scan_inputs = 1, scan_input_axes = [1], body = each (float[N, 8] state, float[N, 8] step) =>
     (float[N, 8] next, float[N, 8] kept) { sum = Add(state, step) next = MatMul(sum, w) kept = Identity(next) }> }"""
# Of a product of [1, 8] and [8, 8].
ONE = 2 * 64


@pytest.mark.parametrize(
    ("text", "operations", "remark"),
    [
        (IF, 2 * ONE, "If 'y' counts as the larger of its branches"),
        (loop("seven"), 7 * ONE, ""),
        (loop("length"), 5 * ONE, ""),  # a sequence's length, which its shape says
        (loop("told"), ONE, "Loop 'y' counts as one run: how often it runs depends on the data"),
        (loop("seven", "IsNaN(limit)"), ONE, "Loop 'y' counts as one run"),
        (SCAN, 6 * ONE, ""),
    ],
)
def test_work_in_bodies_counts_as_often_as_it_is_done(text: str, operations: int, remark: str) -> None:
    counted = network(text, w=SQUARE, v=SQUARE)
    layers = layers_of(counted)
    totals = totals_of(counted, layers)
    weights = 128 if "v)" in text else 64  # of both branches, each once
    assert (totals.operations, totals.parameters) == (operations, weights)
    assert work_of(counted).operations == operations
    assert {layer.precision for layer in layers if layer.op in ("If", "Loop", "Scan")} == {"fp32"}
    assert remark in " ".join(remarks_on(counted))
    assert bool(remarks_on(counted)) == bool(remark)


def test_bodies_in_bodies_multiply() -> None:
    inner = """z = Loop (three, yes, state)
        <body = inner (int64 j, bool ok, float[N, 8] s) => (bool also, float[N, 8] t)
        { also = Identity(ok) t = MatMul(s, w) }>"""
    text = f"""g (float[N, 8] x) => (float[N, 8] y) {{
    two = Constant<value_int = 2>() three = Constant<value_int = 3>() yes = Constant<value = bool {{1}}>()
    y = Loop (two, yes, x) <body = outer (int64 i, bool go, float[N, 8] state) => (bool on, float[N, 8] z)
        {{ on = Identity(go) {inner} }}> }}"""
    counted = network(text, w=SQUARE)
    assert totals_of(counted, layers_of(counted)).operations == 6 * ONE


def test_functions_of_a_model_count_as_what_they_do() -> None:
    text = """g (float[N, 8] x) => (float[N, 8] y) { y = own.twice(x, w) }
    <domain: "own", opset_import: ["" : 17]> twice (a, m) => (c) { b = MatMul(a, m) c = MatMul(b, m) }"""
    counted = network(text, w=SQUARE)
    totals = totals_of(counted, layers_of(counted))
    assert (totals.operations, totals.parameters) == (2 * ONE, 64)


def test_recurrent_layers_count_every_step() -> None:
    """Four gates of 5 units, from 8 inputs and 5 states, for 6 steps."""
    text = "g (float[6, N, 8] x) => (float[6, 1, N, 5] y) { y = LSTM<hidden_size = 5>(x, k, r) }"
    counted = network(text, k=np.ones((1, 20, 8), np.float32), r=np.ones((1, 20, 5), np.float32))
    totals = totals_of(counted, layers_of(counted))
    assert (totals.operations, totals.parameters) == (2 * 6 * 20 * (8 + 5), 20 * 13)


def test_what_has_no_known_shape_is_named() -> None:
    text = "g (float[N, 2, H, W] x) => (float[N, 5, P, Q] y) { y = Conv(x, k) }"
    counted = network(text, k=KERNEL.astype(np.float32))
    assert remarks_on(counted) == ("1 layer is not counted, since shapes are not known: y",)
    assert totals_of(counted, layers_of(counted)).parameters == 90
