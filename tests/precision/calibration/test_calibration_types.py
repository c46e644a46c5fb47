"""Calibration feeds each input in the network's own type, and takes what a session takes."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper, parser

import inferkit
from inferkit.errors import PrecisionError
from inferkit.network.network import Network
from inferkit.precision import collect_ranges

RANDOM = np.random.default_rng(8)
WEIGHTS = RANDOM.standard_normal((6, 4)).astype(np.float32)
TABLE = RANDOM.standard_normal((5, 2)).astype(np.float32)
FEATURES = RANDOM.integers(0, 200, (12, 6))


def dense(kind: str) -> Network:
    """Two inner products behind one input of this type."""
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
        dense ({kind}[N, 6] x) => (float[N, 4] y)
        {{ f = Cast<to = 1>(x) h = MatMul(f, w) r = Relu(h) y = MatMul(r, v) }}"""
    return _with_weights(text, w=WEIGHTS, v=WEIGHTS[:4])


def several() -> Network:
    """A float64, a float16 and an int64 input, which meet in one inner product."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
        several (double[N, 2] wide, float16[N, 2] half, int64[N] row) => (float[N, 4] y)
        {
          a = Cast<to = 1>(wide) b = Cast<to = 1>(half) c = Gather(table, row)
          all = Concat<axis = 1>(a, b, c) y = MatMul(all, w)
        }"""
    return _with_weights(text, w=WEIGHTS, table=TABLE)


def _with_weights(text: str, **weights: np.ndarray) -> Network:
    model = parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    return Network.from_model(model, "typed")


def reference(network: Network, feeds: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(network.model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], feeds)[0]


def error(network: Network, feeds: dict[str, np.ndarray], expected: np.ndarray) -> float:
    with inferkit.build(network, max_batch=12).session() as session:
        found = session.run(feeds)["y"]
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize(
    ("kind", "fed"),
    [
        ("double", "float64"),
        ("double", "float32"),
        ("float16", "float16"),
        ("float16", "float32"),
        ("float", "float64"),
        ("float", "uint8"),
        ("float16", "uint8"),
        ("uint8", "uint8"),
        ("int64", "int64"),
    ],
)
def test_an_input_of_any_type_calibrates_as_the_same_numbers_in_float32_do(kind: str, fed: str) -> None:
    source = FEATURES.astype(fed)
    expected = collect_ranges(dense("float"), [FEATURES.astype(np.float32)])
    assert collect_ranges(dense(kind), [source]).histograms["r"] == expected.histograms["r"]
    network = inferkit.at_precision(dense(kind), "int8", [source])
    own = FEATURES.astype(network.inputs[0].dtype)
    # 255 steps over each of two layers: 5 % is over twice what rounding to them gives here
    assert error(network, {"x": own}, reference(dense(kind), {"x": own})) < 0.05


def test_several_inputs_keep_a_type_each() -> None:
    feeds = {
        "wide": RANDOM.standard_normal((12, 2)),
        "half": RANDOM.standard_normal((12, 2)).astype(np.float16),
        "row": RANDOM.integers(0, 5, 12),
    }
    network = inferkit.at_precision(several(), "int8", [feeds])
    assert [info.dtype for info in network.inputs] == ["float64", "float16", "int64"]
    assert error(network, feeds, reference(several(), feeds)) < 0.05  # as above, of one layer


@pytest.mark.parametrize(("kind", "fed"), [("float", "int64"), ("uint8", "float32"), ("int64", "int32")])
def test_what_a_session_refuses_is_refused_with_the_input_and_both_types(kind: str, fed: str) -> None:
    dtype = {"float": "float32"}.get(kind, kind)
    with pytest.raises(PrecisionError, match=rf"input 'x' takes {dtype}, got {fed}; convert it with"):
        collect_ranges(dense(kind), [FEATURES.astype(fed)])
