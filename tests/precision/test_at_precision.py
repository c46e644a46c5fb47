"""at_precision: names of precisions, the network that each gives, and the errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inferkit
from inferkit.errors import PrecisionError, UsageError
from inferkit.network.network import PRECISIONS, Network
from inferkit.precision import collect_ranges, normalize
from inferkit.precision.calibration.caches import write_cache
from inferkit.precision.calibration.methods import calibration_from
from inferkit.precision.emulation import emulated, unrounded
from tests.precision.precision_graphs import ModelBuilder, images, run


def network() -> Network:
    build = ModelBuilder(4)
    build.conv(4)
    return build.network()


def test_names_of_the_study_and_of_today_are_understood() -> None:
    assert [normalize(name) for name in ("FLOAT", "HALF", "INT8")] == ["fp32", "fp16", "int8"]
    assert [normalize(name) for name in (*PRECISIONS, " BF16 ")] == [*PRECISIONS, "bf16"]
    for wrong in ("fp12", "", "int4"):
        with pytest.raises(UsageError, match="FLOAT, HALF, INT8"):
            normalize(wrong)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_new_network_of_that_precision_comes_back(precision: str) -> None:
    original = network()
    calibration = [images()] if precision in ("int8", "fp8") else None
    result = inferkit.at_precision(original, precision, calibration)
    assert (result.precision, original.precision) == (precision, "fp32")
    assert (result.name, result.inputs, result.outputs) == (original.name, original.inputs, original.outputs)
    assert (result.calibration is not None) == (calibration is not None)
    assert (result.digest == original.digest) == (precision == "fp32")


def test_tf32_is_the_fp32_graph_under_its_own_name() -> None:
    original = network()
    result = inferkit.at_precision(original, "tf32")
    assert result.model == original.model
    assert result.digest != original.digest  # engine caches tell them apart
    assert inferkit.at_precision(result, "fp16").precision == "fp16"


def test_missing_or_superfluous_calibrations_are_refused() -> None:
    for precision in ("int8", "fp8"):
        with pytest.raises(PrecisionError, match="needs a calibration"):
            inferkit.at_precision(network(), precision)
    for precision in ("fp32", "tf32", "fp16", "bf16"):
        with pytest.raises(UsageError, match="needs no calibration"):
            inferkit.at_precision(network(), precision, [images()])


@pytest.mark.parametrize("option", [{"method": "mse"}, {"images": 3}])
def test_options_that_a_finished_calibration_leaves_nothing_to_decide_are_refused(
    tmp_path: Path, option: dict[str, Any]
) -> None:
    ranges = collect_ranges(network(), [images()])
    write_cache(tmp_path / "a.cache", calibration_from(ranges))
    for source in (calibration_from(ranges), tmp_path / "a.cache"):
        assert inferkit.at_precision(network(), "int8", source).precision == "int8"
        with pytest.raises(UsageError, match=f"already made, so {next(iter(option))} would have no effect"):
            inferkit.at_precision(network(), "int8", source, **option)
    ranges.save(tmp_path / "ranges.npz")  # any method can start from these, but their images are counted
    assert "mse" in str(inferkit.at_precision(network(), "int8", tmp_path / "ranges.npz", method="mse").calibration)
    with pytest.raises(UsageError, match="ranges of 4 images"):
        inferkit.at_precision(network(), "int8", tmp_path / "ranges.npz", images=3)


def test_unknown_options_name_those_there_are() -> None:
    with pytest.raises(UsageError, match="'speed'; its options: method"):
        inferkit.at_precision(network(), "int8", [images()], speed=11)
    with pytest.raises(UsageError, match="it has no options"):
        inferkit.at_precision(network(), "fp32", speed=11)
    with pytest.raises(UsageError, match="unknown calibration method"):
        inferkit.at_precision(network(), "int8", [images()], method="guess")


def test_a_graph_without_layers_to_quantize_says_so() -> None:
    build = ModelBuilder(4)
    build.add("Relu")
    with pytest.raises(PrecisionError, match="none has constant"):
        inferkit.at_precision(build.network(), "int8", [images()])


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    heavy = ("numpy", "onnx", "onnxruntime", "cv2")
    code = f"import sys, inferkit.precision; print(*(name for name in {heavy} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize(
    ("precision", "options", "count"),
    [("int8", {}, 2), ("fp8", {}, 1), ("fp8", {"first_layer": True}, 2), ("fp8", {"first_layer": False}, 1)],
)
def test_the_convolution_of_the_image_is_quantized_to_fp8_only_where_it_is_asked_for(
    precision: str, options: dict[str, Any], count: int
) -> None:
    build = ModelBuilder(4)
    build.conv(16)
    build.conv(16)
    reduced = inferkit.at_precision(build.network(), precision, [images()], **options)
    assert sum(node.op_type == "QuantizeLinear" for node in reduced.model.graph.node) == count
    assert any("not Conv0 (Conv)" in note for note in reduced.notes) == (count == 1)


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8", "fp8"])
def test_a_network_whose_values_are_not_rounded_differs_by_its_weights_alone(precision: str) -> None:
    """One layer: what is left is the FP32 product with the weights that the graph holds."""
    build = ModelBuilder(4)
    build.conv(8, bias=False)
    base, x = build.network(), images(2)
    reduced = inferkit.at_precision(base, precision, [x] if precision in ("int8", "fp8") else None)
    exact = unrounded(reduced).model
    assert "QuantizeLinear" not in {node.op_type for node in exact.graph.node}
    steps = {"fp16": 2**-11, "bf16": 2**-8, "int8": 1 / 127, "fp8": 2**-4}  # of a weight, relative to its channel
    expected, actual, rounded = run(base.model, x), run(exact, x), run(emulated(reduced).model, x)
    assert np.linalg.norm(actual - expected) < steps[precision] * np.linalg.norm(expected)
    assert np.linalg.norm(rounded - expected) > 1.2 * np.linalg.norm(actual - expected)  # values round as well
