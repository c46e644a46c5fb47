"""Half precision leaves ids, counts, positions and sizes alone on their way through floats, and says what it cannot."""

from __future__ import annotations

import ast
import re

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper, parser

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
    "ids that a product by ones and zeros permutes": (
        """g (int64[N, 3] x) => (float[N, 3, 2] y) <float[3, 3] p = {0, 1, 0, 1, 0, 0, 0, 0, 1}>
        { f = Cast<to = 1>(x) m = MatMul(f, p) i = Cast<to = 7>(m) r = Gather(table, i) y = Neg(r) }""",
        np.array([[4999, 5001, 2049], [3, 257, 5003]], np.int64),
    ),
    "ids that a product scales and shifts": (
        """g (float[N, 2] x) => (float[N, 2, 2] y) <float[2, 2] p = {0, 0.5, 0.5, 0}, float[2] b = {0.5, 1.5}>
        { m = Gemm(x, p, b) i = Cast<to = 6>(m) r = Gather(table, i) y = Neg(r) }""",
        np.array([[9997, 10001], [4097, 2051]], np.float32),
    ),
    "ids that a convolution shifts": (
        """g (int32[N, 1, 4] x) => (float[N, 1, 4, 2] y) <float[1, 1, 3] shift = {1, 0, 0}>
        { f = Cast<to = 1>(x) m = Conv<pads = [1, 1]>(f, shift) i = Cast<to = 7>(m) r = Gather(table, i)
          y = Neg(r) }""",
        np.array([[[4999, 5001, 2049, 3]]], np.int32),
    ),
    "ids through a layer of thirds": (
        """g (int64[N, 2] x) => (float[N, 2, 2] y)
        <float[2, 5] a = {0.37, 0.61, -1.3, 0.2, 0.9, 0.1, 0.7, 0.33, -0.8, 1.7},
         float[5, 2] b = {0.41, 0.52, 0.13, 0.94, -0.65, -0.26, 0.77, 0.18, 0.29, 0.83}>
        { f = Cast<to = 1>(x) h = MatMul(f, a) s = Softplus(h) m = MatMul(s, b) i = Cast<to = 7>(m)
          r = Gather(table, i) y = Neg(r) }""",
        np.array([[999, 1501], [257, 2003]], np.int64),
    ),
    "an id that is looked up in ones and zeros": (
        """g (int64[N] x) => (float[N, 2] y) <int64[1] depth = {6000}, float[2] ends = {0, 1}>
        { hot = OneHot(x, depth, ends) zero = Constant<value_float = 0.0>() one = Constant<value_float = 1.0>()
          end = Constant<value_float = 6000.0>() at = Range(zero, end, one) i = MatMul(hot, at) c = Cast<to = 7>(i)
          r = Gather(table, c) y = Neg(r) }""",
        np.array([4999, 5001], np.int64),
    ),
    "counts of a mask by a product": (
        """g (bool[N, 4001] x) => (float[N, 1, 2] y) <float[1] one = {1}, int64[2] size = {4001, 1}>
        { ones = Expand(one, size) f = Cast<to = 1>(x) c = MatMul(f, ones) i = Cast<to = 7>(c) r = Gather(table, i)
          y = Neg(r) }""",
        np.arange(8002).reshape(2, 4001) % 5 > 0,
    ),
    "a mask that a Scan adds up": (
        """g (bool[N, 5001] x) => (float[5001, N, 2] y) <int64[1] axis = {0}>
        { f = Cast<to = 1>(x) t = Transpose(f) s = ReduceSum<keepdims = 0>(t, axis) z = Sub(s, s)
          last, all = Scan <num_scan_inputs = 1, body = each (float[N] state, float[N] item) =>
            (float[N] sum, float[N] copy) { sum = Add(state, item) copy = Identity(sum) }> (z, t)
          i = Cast<to = 7>(all) r = Gather(table, i) y = Neg(r) }""",
        np.ones((1, 5001), bool),
    ),
    "ids that lie beside features for a while": (
        """g (float[N, 4] x) => (float[N, 1, 2] y)
        <float[4, 3] w = {0.37, 0.61, -1.3, 0.2, 0.9, 0.1, 0.7, 0.33, -0.8, 1.7, 0.4, 0.2}, int64[2] sizes = {3, 1},
         float factor = {1667.0}, float three = {3.0}>
        { h = MatMul(x, w) k = ArgMax<axis = 1>(x) c = Cast<to = 1>(k) wide = Mul(c, factor)
          both = Concat<axis = 1>(h, wide) up = Add(both, three) rest, id = Split<axis = 1>(up, sizes)
          i = Cast<to = 7>(id) r = Gather(table, i) y = Neg(r) }""",
        np.array([[0, 0, 0, 1], [0, 1, 0, 0]], np.float32),
    ),
    "a place that was learned beside a row that was not": (
        """g (float[N, 2] x) => (float[N, 2, 2] y)
        <float[2, 2] w = {0.37, 0.61, 0.2, 0.9}, float[2] start = {4097.0, 5001.0}>
        { h = MatMul(x, w) at = Add(h, start) f = Floor(at) i = Cast<to = 7>(f) r = Gather(table, i) y = Neg(r) }""",
        np.array([[0.5, 0.4], [0.1, 0.6]], np.float32),
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
    with inferkit.build(inferkit.at_precision(base, precision), max_batch=2, emulate=True).session() as opened:
        assert np.array_equal(opened.run(fed)[base.outputs[0].name], expected)


PLACES = {
    "sizes of a resized image": (
        """g (float[1, 1, 1, 1] x, float[4] scale) => (float[1, 1, H, W] y) <float[4] ten = {1, 1, 10.01, 10.01}>
        { s = Mul(scale, ten) y = Resize<mode = "nearest">(x, , s) }""",
        {"x": np.ones((1, 1, 1, 1)), "scale": np.array([1, 1, 100, 10])},
    ),
    "regions of interest": (
        """g (float[1, 1, 1, 4096] x, float[R, 4] boxes) => (float[R, 1, 1, 1] y) <float[4] shift = {1, 0, 1, 0}>
        { n = Shape<end = 1>(boxes)
          which = ConstantOfShape<value = int64[1] {0}>(n) b = Add(boxes, shift) y = RoiAlign(x, b, which) }""",
        {"x": np.sin(np.arange(4096)).reshape(1, 1, 1, -1), "boxes": np.array([[2050.3, 0, 2051.9, 1]])},
    ),
    "places in an image": (
        """g (float[1, 1, 1, 4096] x, float[1, 1, 2, 2] at) => (float[1, 1, 1, 2] y) <float[2] scale = {0.99, 0}>
        { a = Mul(at, scale) y = GridSample<align_corners = 1>(x, a) }""",
        {"x": np.sin(np.arange(4096)).reshape(1, 1, 1, -1), "at": np.array([[[[0.7331, 0], [-0.9123, 0]]]])},
    ),
}


LACKING = {("regions of interest", "bf16")}  # ONNX Runtime has no RoiAlign of the operator set that bf16 needs


@pytest.mark.parametrize(
    ("case", "precision"), [(c, p) for c in PLACES for p in ("fp16", "bf16") if (c, p) not in LACKING]
)
def test_places_and_sizes_are_not_rounded(case: str, precision: str) -> None:
    """What is left is the rounding of the values themselves: 2^-9 of bf16, twice."""
    text, fed = PLACES[case]
    feeds = {name: values.astype(np.float32) for name, values in fed.items()}
    base = network(text)
    session = onnxruntime.InferenceSession(base.model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, feeds)[0]
    half = inferkit.at_precision(base, precision)
    with inferkit.build(half, max_batch=1, emulate=True).session() as opened:
        actual = opened.run(feeds)["y"]
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() < 8e-3


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_layers_beside_a_count_stay_half(precision: str) -> None:
    text = """g (float[N, 2] x) => (int64[N, 6000] y)
        { w = Transpose(table) m = MatMul(x, w) r = Relu(m) y = Cast<to = 7>(r) }"""
    applied = inferkit.at_precision(network(text), precision)
    half = {"fp16": 10, "bf16": 16}[precision]
    assert any(tensor.data_type == half for tensor in applied.model.graph.initializer)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("kind", ["int64", "float"])
@pytest.mark.parametrize("turns", ["Mul(column, frequency)", "MatMul(column, frequency)"])
def test_angles_of_many_turns_keep_their_place_in_the_last_one(turns: str, kind: str, precision: str) -> None:
    """Positions times frequencies, as embeddings have them; what is left is the rounding of the sines themselves."""
    text = """g (KIND[N, 1] x) => (float[N, 3] y) <float[1, 3] frequency = {1.0, 0.3, 0.01}>
    { column = Cast<to = 1>(x) angle = TURNS y = Sin(angle) }""".replace("TURNS", turns).replace("KIND", kind)
    positions = np.array([[1999], [4801]], np.int64 if kind == "int64" else np.float32)
    half = inferkit.at_precision(network(text), precision)
    session = inferkit.build(half, max_batch=2, emulate=True).session()
    expected = np.sin(positions * np.array([[1.0, 0.3, 0.01]], np.float32).astype(np.float64))
    assert np.abs(session.run({"x": positions})["y"] - expected).max() < 1e-2


# Rows that are chosen by learned values: what half precision says of them

RANDOM = np.random.default_rng(3)
LEARNED = {
    "w": RANDOM.standard_normal((8, 600)).astype(np.float32),
    "v": RANDOM.standard_normal((8, 8)).astype(np.float32),
    "table": RANDOM.standard_normal((600, 4)).astype(np.float32),
}
LAYERS = "h = MatMul(x, v) r = Relu(h) l = MatMul(r, w)"
CHOICES = {
    "the best class": (f"{LAYERS} i = ArgMax<axis = 1, keepdims = 0>(l) y = Gather(table, i)", ["i", "l"]),
    "the best probability": (
        f"{LAYERS} s = Sigmoid(l) i = ArgMax<axis = 1, keepdims = 0>(s) y = Gather(table, i)",
        ["i", "l", "s"],
    ),
    "the two best": (f"{LAYERS} best, i = TopK<axis = 1>(l, two) y = Gather(table, i)", ["best", "l"]),
    "a shifted index": (
        f"{LAYERS} i = ArgMax<axis = 1, keepdims = 0>(l) j = Add(i, one) y = Gather(table, j)",
        ["i", "l"],
    ),
    "all above a bound": (f"{LAYERS} p = Greater(l, zero) i = NonZero(p) y = GatherND(l, i)", ["l", "p"]),
}
NO_CHOICES = {
    "a choice that is the result": f"{LAYERS} i = ArgMax<axis = 1, keepdims = 0>(l) y = Cast<to = 1>(i)",
    "an id of the input": "i = ArgMax<axis = 1, keepdims = 0>(x) r = Gather(table, i) y = MatMul(r, t)",
    "no choice": f"{LAYERS} y = Relu(l)",
}


def choosing(text: str) -> Network:
    model = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 8] x) => (float y) <int64[1] two = {{2}}, int64 one = {{1}}, float zero = {{0.0}}> {{ {text} }}"""
    )
    read = {name for node in model.graph.node for name in node.input}
    weights = {**LEARNED, "t": LEARNED["table"][:4]}
    model.graph.initializer.extend(numpy_helper.from_array(weights[name], name) for name in weights if name in read)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return Network.from_model(model, "choices")


def choices(of: Network) -> list[str]:
    return [note for note in of.notes if "rows by learned values" in note]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("case", CHOICES)
def test_a_choice_by_learned_half_values_is_named_and_its_hint_helps(case: str, precision: str) -> None:
    text, kept = CHOICES[case]
    of = choosing(text)
    [note] = choices(inferkit.at_precision(of, precision))
    assert f"in {precision}" in note
    found = re.search(r"keep=(\[.*?\]) \(--keep", note)
    assert found
    keep = ast.literal_eval(found[1])
    assert sorted(keep) == kept
    chosen = inferkit.at_precision(of, precision, keep=keep)
    assert choices(chosen) == []
    wide = {value.name for value in chosen.model.graph.initializer if value.data_type == TensorProto.FLOAT}
    assert any(name.startswith("w") for name in wide)


@pytest.mark.parametrize("case", NO_CHOICES)
def test_what_chooses_no_rows_by_learned_values_has_no_note(case: str) -> None:
    assert choices(inferkit.at_precision(choosing(NO_CHOICES[case]), "fp16")) == []


def test_a_tie_that_rounding_makes_is_decided_as_in_fp32_where_the_layer_is_kept() -> None:
    """Two classes whose scores differ in the fourth digit, the second one ahead: halves of them are equal."""
    model = choosing("l = MatMul(x, w) i = ArgMax<axis = 1, keepdims = 0>(l) y = Gather(table, i)").model
    weights = LEARNED["w"].copy()
    weights[0, 5], weights[0, 7] = 2048.0, 2048.5
    [stored] = [tensor for tensor in model.graph.initializer if tensor.name == "w"]
    stored.CopyFrom(numpy_helper.from_array(weights, "w"))
    of = Network.from_model(model, "tie")
    x = np.eye(1, 8, dtype=np.float32)

    def row(reduced: Network) -> np.ndarray:
        with inferkit.build(reduced, "onnxruntime", 1, emulate=reduced.precision == "fp16").session() as session:
            [rows] = session.run(x).values()
        return np.asarray(rows)

    expected = LEARNED["table"][7]
    np.testing.assert_array_equal(row(of)[0], expected)
    np.testing.assert_allclose(row(inferkit.at_precision(of, "fp16"))[0], LEARNED["table"][5], rtol=1e-3)  # halves
    np.testing.assert_allclose(row(inferkit.at_precision(of, "fp16", keep=["l", "i"]))[0], expected, rtol=1e-3)
