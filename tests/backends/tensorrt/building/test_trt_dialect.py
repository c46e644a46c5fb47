"""Graphs that ONNX allows and TensorRT's parser does not read: said otherwise they compute the same, and are built."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

import inferkit
from inferkit.backends.tensorrt.building import builder
from inferkit.backends.tensorrt.building.builder import _in_dialect, readable
from inferkit.errors import PrecisionError
from inferkit.network.network import Network
from tests.backends.tensorrt.trt_models import tiny_model

EINSUM = """
<ir_version: 8, opset_import: ["" : 17]>
attention (float[n, 4, 6] x) => (float[n, 4, 6] y)
{
  scores = Einsum <equation = "B I d, B J d -> B I J"> (x, x)
  y = Einsum <equation = "BIJ,BJD->BID"> (scores, x)
}
"""
STANDARDIZED = """
<ir_version: 8, opset_import: ["" : 17]>
standardized (float[n, 3, 8, 8] x) => (float[n, 2, 8, 8] y)
  <float[1, 2, 27] w = {WEIGHTS}, float[2] gain = {1.5, 0.5}, float[2] zero = {0, 0}, float[2] one = {1, 1},
   int64[4] shape = {2, 3, 3, 3}>
{
  normal, mean, variance = BatchNormalization <training_mode = 1, epsilon = 1e-6> (w, gain, zero, zero, one)
  kernel = Reshape (normal, shape)
  y = Conv <pads = [1, 1, 1, 1]> (x, kernel)
}
""".replace("WEIGHTS", ", ".join(f"{value:.4f}" for value in np.random.default_rng(0).standard_normal(54)))
SHAPES = {EINSUM: (2, 4, 6), STANDARDIZED: (2, 3, 8, 8)}


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


both = pytest.mark.parametrize("text", [EINSUM, STANDARDIZED], ids=["einsum", "standardized weights"])


@both
def test_it_computes_the_same(text: str) -> None:
    model = parser.parse_model(text)
    before = model.SerializeToString()
    told = readable(model)
    assert model.SerializeToString() == before
    assert told.SerializeToString() != before
    x = np.random.default_rng(1).standard_normal(SHAPES[text]).astype(np.float32)
    np.testing.assert_allclose(run(told, x), run(model, x), rtol=1e-5, atol=1e-5)


@pytest.mark.tensorrt_rtx
@both
def test_it_is_built(text: str) -> None:
    options = {"backend": "tensorrt", "flavour": "tensorrt_rtx", "max_batch": 4, "target": "sm89", "cache": False}
    assert inferkit.build(Network.from_model(parser.parse_model(text), "net"), **options).info.size_bytes


def test_letters_stay_apart() -> None:
    told = readable(parser.parse_model(EINSUM)).graph.node
    assert [node.attribute[0].s for node in told] == [b"abc,adc->abd", b"abc,acd->abd"]


def test_what_the_parser_reads_is_left_alone() -> None:
    model = tiny_model()
    assert readable(model) is model


@pytest.mark.parametrize(("equation", "plain"), [("jI", b"ba"), ("Ji", b"ab"), ("zaB,Bz", b"cba,ac")])
def test_a_result_that_is_not_spelled_out_keeps_the_order_of_its_axes(equation: str, plain: bytes) -> None:
    """It is that of the alphabet, in which capital letters come first."""
    node = onnx.helper.make_node("Einsum", ["x"] * (1 + equation.count(",")), ["y"], equation=equation)
    dims = dict(zip("zaBjIJi", (2, 3, 2, 3, 4, 3, 4), strict=True))
    values = [onnx.helper.make_tensor_value_info("x", 1, None), onnx.helper.make_tensor_value_info("y", 1, None)]
    graph = onnx.helper.make_graph([node], "einsum", values[:1], values[1:])
    renamed = _in_dialect(onnx.helper.make_model(graph)).graph.node[0].attribute[0].s
    assert renamed == plain
    operands = [np.random.default_rng(2).random([dims[letter] for letter in part]) for part in equation.split(",")]
    np.testing.assert_allclose(np.einsum(renamed.decode(), *operands), np.einsum(equation, *operands))


def test_a_form_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builder._plain
    monkeypatch.setattr(builder, "_plain", lambda einsum: plain(einsum).replace("->abd", "->adb"))
    with pytest.raises(PrecisionError, match="as TensorRT's parser reads it changes what node 'y'"):
        readable(parser.parse_model(EINSUM))
