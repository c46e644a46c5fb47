"""A file that holds half weights or Q/DQ pairs is a network of that precision, and is taken as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import inferkit
from inferkit.errors import BackendError, PrecisionError
from inferkit.network.network import Network
from inferkit.network.onnx_file import write_onnx

IMAGES = np.random.default_rng(1).standard_normal((4, 3, 8, 8)).astype(np.float32)


def network() -> Network:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    small (float[N, 3, 8, 8] x) => (float[N, 4] y)
    {
      conv = Conv <pads = [1, 1, 1, 1]> (x, weights)
      relu = Relu (conv)
      pooled = GlobalAveragePool (relu)
      y = Flatten (pooled)
    }
    """
    model = parser.parse_model(text)
    weights = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    return Network.from_model(model, "small")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8", "fp8"])
def test_what_was_written_at_a_precision_is_read_at_it(tmp_path: Path, precision: str) -> None:
    calibration = [IMAGES] if precision in ("int8", "fp8") else None
    write_onnx(inferkit.at_precision(network(), precision, calibration).model, tmp_path / "model.onnx")
    result = inferkit.load(tmp_path / "model.onnx")
    assert result.precision == precision
    again = inferkit.at_precision(result, precision)
    assert again.model == result.model
    if precision != "fp32":
        with pytest.raises(PrecisionError, match=f"{precision} already"):
            inferkit.at_precision(result, "fp32")


def quantized_to(dtype: type, tmp_path: Path) -> Network:
    """Quantized by another tool, which writes the type of codes `dtype`, zero point 0."""
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    foreign (float[N, 3, 8, 8] x) => (float[N, 3, 8, 8] y)
    {
      codes = QuantizeLinear (x, scale, zero)
      real = DequantizeLinear (codes, scale, zero)
      y = Relu (real)
    }
    """
    model = parser.parse_model(text)
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.02, np.float32), "scale"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0, dtype), "zero"))
    onnx.save(model, tmp_path / "foreign.onnx")
    return inferkit.load(tmp_path / "foreign.onnx")


INTEGERS = {
    "MatMulInteger": """dynamic (float[N, 4] x) => (float[N, 3] y) <float[1] ws = {0.01}>
        { codes, scale, zero = DynamicQuantizeLinear(x) sums = MatMulInteger(codes, weights, zero)
          wide = Cast<to = 1>(sums) s = Mul(scale, ws) y = Mul(wide, s) }""",
    "QLinearMatMul": """static (int8[N, 4] x) => (int8[N, 3] y) <float s = {0.1}, int8 z = {0}>
        { y = QLinearMatMul(x, s, z, weights, s, z, s, z) }""",
}


@pytest.mark.parametrize("operator", INTEGERS)
def test_a_network_of_integer_products_is_int8_already(operator: str, tmp_path: Path) -> None:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{INTEGERS[operator]}')
    weights = np.random.default_rng(2).integers(-127, 128, (4, 3)).astype(np.int8)
    model.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    onnx.save(model, tmp_path / "model.onnx")
    network = inferkit.load(tmp_path / "model.onnx")
    assert network.precision == "int8"
    assert inferkit.at_precision(network, "int8") is network
    with pytest.raises(
        PrecisionError, match=r'int8 already; use the fp32 network for fp16, or .*precisions = \["int8"'
    ):
        inferkit.at_precision(network, "fp16")
    x = np.random.default_rng(3).integers(-4, 5, (2, 4)).astype(network.inputs[0].dtype)
    with inferkit.build(network, max_batch=2).session() as session:
        assert np.any(session.run(x)["y"])


def test_few_integer_products_among_others_leave_a_network_fp32(tmp_path: Path) -> None:
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        mixed (float[N, 4] x, int8[4, 4] w) => (float[N, 4] y)
        { codes, scale, zero = DynamicQuantizeLinear(x) sums = MatMulInteger(codes, w, zero) wide = Cast<to = 1>(sums)
          a = MatMul(wide, real) b = MatMul(a, real) y = Mul(b, scale) }"""
    )
    model.graph.initializer.append(numpy_helper.from_array(np.eye(4, dtype=np.float32), "real"))
    onnx.save(model, tmp_path / "model.onnx")
    assert inferkit.load(tmp_path / "model.onnx").precision == "fp32"


@pytest.mark.tensorrt_rtx
def test_tensorrt_is_not_given_unsigned_codes(tmp_path: Path) -> None:
    """It would take them for signed ones with no more than a warning."""
    options = {"backend": "tensorrt", "flavour": "tensorrt_rtx", "max_batch": 4, "target": "sm89", "cache": False}
    signed = quantized_to(np.int8, tmp_path)
    assert signed.precision == "int8"
    assert inferkit.build(signed, **options).info.precision == "int8"
    with pytest.raises(BackendError, match=r"'codes' of foreign quantizes to unsigned bytes"):
        inferkit.build(quantized_to(np.uint8, tmp_path), **options)
