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


@pytest.mark.tensorrt_rtx
def test_tensorrt_is_not_given_unsigned_codes(tmp_path: Path) -> None:
    """It would take them for signed ones with no more than a warning."""
    options = {"backend": "tensorrt", "flavour": "tensorrt_rtx", "max_batch": 4, "target": "sm89", "cache": False}
    signed = quantized_to(np.int8, tmp_path)
    assert signed.precision == "int8"
    assert inferkit.build(signed, **options).info.precision == "int8"
    with pytest.raises(BackendError, match=r"'codes' of foreign quantizes to unsigned bytes"):
        inferkit.build(quantized_to(np.uint8, tmp_path), **options)
