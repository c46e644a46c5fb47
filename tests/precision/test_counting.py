"""Half precision leaves ids, counts, positions and sizes alone on their way through floats."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper, parser

import inferkit
from inferkit.network.network import Network

TABLE = np.arange(6000 * 2, dtype=np.float32).reshape(6000, 2) % 97


def network(text: str) -> Network:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
    model.graph.initializer.append(numpy_helper.from_array(TABLE, "table"))
    return Network.from_model(model, "counting")


CASES = {
    "an input that only moves": (
        """g (float[N, 2] x) => (float[N, 2, 1] y) <int64[3] to = {0, 2, 1}> { y = Reshape(x, to) }""",
        np.array([[4999, 300001]], np.float32),
    ),
    "an id beside features in one output": (
        """g (float[N, 5000] x) => (float[N, 5001] y)
        { m = Mul(x, x) z = Neg(m) i = ArgMax<axis = 1>(x) f = Cast<to = 1>(i) y = Concat<axis = 1>(f, z) }""",
        np.eye(1, 5000, 4999, dtype=np.float32),
    ),
    "a map of labels": (
        """g (int64[1, 1, 1, 2] x) => (float[1, 1, 2, 4, 2] y) <float[4] s = {1, 1, 2, 2}>
        { f = Cast<to = 1>(x) r = Resize<mode = "nearest">(f, , s) p = MaxPool<kernel_shape = [1, 1]>(r)
          i = Cast<to = 7>(p) y = Gather(table, i) }""",
        np.array([[[[4999, 5001]]]], np.int64),
    ),
    "ids among features": (
        """g (float[N, 3] x) => (float[N, 1, 2] y) <int64[1] a = {1}, int64[1] b = {2}>
        { id = Slice(x, a, b, a) i = Cast<to = 7>(id) r = Gather(table, i) y = Neg(r) }""",
        np.array([[0.5, 4097, 1], [0.1, 5001, 2]], np.float32),
    ),
    "ids offset and compared": (
        """g (float[N, 2] x) => (float[N, 2] y) <float[1] offset = {1.0}, float[1] wanted = {3002.0}>
        { s = Add(x, offset) e = Equal(s, wanted) y = Cast<to = 1>(e) }""",
        np.array([[3001, 3000], [3002, 3001]], np.float32),
    ),
    "sums of ones": (
        """g (float[N, 4000] x) => (int64[N] n) <float zero = {0.0}, int64[1] axis = {1}>
        { p = Greater(x, zero) i = Cast<to = 7>(p) f = Cast<to = 1>(i) c = ReduceSum<keepdims = 0>(f, axis)
          n = Cast<to = 7>(c) }""",
        np.where(np.arange(8000).reshape(2, 4000) % 3, 1, -1).astype(np.float32),
    ),
    "ids that an If makes": (
        """g (float[N, 1] x) => (float[N, 1, 2] y) <float one = {1.0}, float two = {2.0}, float zero = {0.0}>
        { s = ReduceMax<keepdims = 0>(x) c = Greater(s, zero)
          id = If (c) <then_branch = a () => (float[N, 1] p) { p = Add(x, one) },
                       else_branch = b () => (float[N, 1] q) { q = Identity(x) }>
          d = Add(id, two) i = Cast<to = 7>(d) r = Gather(table, i) y = Neg(r) }""",
        np.array([[2050], [2052]], np.float32),
    ),
    "ids that a Loop reads": (
        """g (float[2, 1] x) => (int64[2, 1] y)
        <int64 three = {3}, bool yes = {1}, int64[2, 1] none = {0, 0}, float up = {3.0}>
        { b = Add(x, up) y, f = Loop (three, yes, none, b)
          <body = each (int64 n, bool go, int64[2, 1] sum, float[2, 1] at) =>
           (bool on, int64[2, 1] next, float[2, 1] same)
            { on = Identity(go) c = Cast<to = 7>(at) next = Add(sum, c) same = Identity(at) }> }""",
        np.array([[4098], [4100]], np.float32),
    ),
    "positions": (
        """g (float[N, 5001] x) => (float[M, 2] y) <float half = {0.5}>
        { p = NonZero(x) f = Cast<to = 1>(p) d = Mul(f, half) c = Floor(d) i = Cast<to = 7>(c) t = Transpose(i)
          y = Cast<to = 1>(t) }""",
        np.eye(1, 5001, 4999, dtype=np.float32),
    ),
}


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("case", CASES)
def test_whole_numbers_come_out_as_they_are(case: str, precision: str) -> None:
    text, fed = CASES[case]
    base = network(text)
    session = onnxruntime.InferenceSession(base.model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"x": fed})[0]
    emulate = {"emulate": True} if precision == "bf16" else {}
    with inferkit.build(inferkit.at_precision(base, precision), max_batch=2, **emulate).session() as opened:
        assert np.array_equal(opened.run(fed)[base.outputs[0].name], expected)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_layers_beside_a_count_stay_half(precision: str) -> None:
    text = """g (float[N, 2] x) => (int64[N, 6000] y)
        { w = Transpose(table) m = MatMul(x, w) r = Relu(m) y = Cast<to = 7>(r) }"""
    applied = inferkit.at_precision(network(text), precision)
    half = {"fp16": 10, "bf16": 16}[precision]
    assert any(tensor.data_type == half for tensor in applied.model.graph.initializer)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("turns", ["Mul(column, frequency)", "MatMul(column, frequency)"])
def test_angles_of_many_turns_keep_their_place_in_the_last_one(turns: str, precision: str) -> None:
    """Positions times frequencies, as embeddings have them; what is left is the rounding of the sines themselves."""
    text = """g (int64[N, 1] x) => (float[N, 3] y) <float[1, 3] frequency = {1.0, 0.3, 0.01}>
    { column = Cast<to = 1>(x) angle = TURNS y = Sin(angle) }""".replace("TURNS", turns)
    positions = np.array([[1999], [4801]], np.int64)
    half = inferkit.at_precision(network(text), precision)
    session = inferkit.build(half, max_batch=2, emulate=True).session()
    expected = np.sin(positions * np.array([[1.0, 0.3, 0.01]], np.float32).astype(np.float64))
    assert np.abs(session.run({"x": positions})["y"] - expected).max() < 1e-2
