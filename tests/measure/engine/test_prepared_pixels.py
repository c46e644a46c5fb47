"""Prepared networks that take pixels: the same answers as with preprocessing on the host, at every precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from inferkit.data.opening import pixels_only
from inferkit.errors import UsageError
from inferkit.measure.accuracy.top_k import Accuracy, AccuracySpec, evaluate
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import Recipe, load_prepared, prepare, timing_batch
from inferkit.network import zoo
from inferkit.precision.qdq import quantized_tensors

IMAGES = 1000


def prepared(folder: Path, name: str, precision: str, **more: Any) -> dict[str, Any]:
    recipe = {"preprocessing": zoo.trained_preprocessing(name), "dataset": "fashion_mnist", **more}
    return prepare(Recipe(name, name, precision, calibration_images=100, images=4, **recipe), folder)


def evaluated(folder: Path, preprocessing: dict[str, Any]) -> Accuracy:
    engine = EngineSpec(str(folder), "onnxruntime", 100)
    return evaluate(AccuracySpec(engine, "fashion_mnist", preprocessing, count=IMAGES))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", ["lenet", "fashion_vgg", "fashion_resnet"])
def test_trained_networks_give_every_image_the_same_class(name: str, precision: str, tmp_path: Path) -> None:
    steps = zoo.trained_preprocessing(name)
    floats = prepared(tmp_path / "floats", name, precision)
    pixels = prepared(tmp_path / "pixels", name, precision, uint8_input=True)
    on_host, in_engine = evaluated(tmp_path / "floats", steps), evaluated(tmp_path / "pixels", pixels_only(steps))
    np.testing.assert_array_equal(in_engine.predictions, on_host.predictions)
    assert on_host.top1_percent > 85
    assert in_engine.warning == ""  # the pixels are what was calibrated
    assert pixels["digest"] != floats["digest"]
    assert pixels["coverage"] == floats["coverage"]


def test_quantization_follows_mean_and_scale_with_the_ranges_of_their_results(tmp_path: Path) -> None:
    steps = {"mean_values": [60.0], "scale": 0.5}
    prepared(tmp_path / "floats", "lenet", "int8", preprocessing=steps)
    prepared(tmp_path / "pixels", "lenet", "int8", preprocessing=steps, uint8_input=True)
    before, after = (load_prepared(tmp_path / which) for which in ("floats", "pixels"))
    assert [node.op_type for node in after.model.graph.node][:4] == ["Cast", "Sub", "Mul", "QuantizeLinear"]
    ranges, own = quantized_tensors(before.model), quantized_tensors(after.model)
    assert own["data_scaled"] == ranges["data"]
    assert {name: own[name] for name in ranges if name != "data"} == {k: v for k, v in ranges.items() if k != "data"}


def test_without_a_dataset_pixels_stand_in_and_calibrate_as_the_network_sees_them(tmp_path: Path) -> None:
    steps = {"mean_values": [100.0], "scale": 0.01}
    facts = prepared(tmp_path, "lenet", "int8", preprocessing=steps, dataset=None, uint8_input=True)
    images = timing_batch(tmp_path, 4)["data"]
    assert images.dtype == np.uint8
    assert images.max() > 200
    # From (0 - 100) * 0.01 to (255 - 100) * 0.01: the codes reach as far, but for the few values that are cut off.
    largest = quantized_tensors(load_prepared(tmp_path).model)["data_scaled"] * 127
    assert 1.0 < largest < 1.6
    assert facts["calibrated"]["data"] == pytest.approx(largest * 100 + 100, rel=1e-5)


def test_pixels_are_for_networks_of_one_input(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        two (float[N, 3, 4, 4] a, float[N, 3, 4, 4] b) => (float[N, 3, 4, 4] out) { out = Add (a, b) }"""
    )
    onnx.save(model, str(tmp_path / "two.onnx"))
    with pytest.raises(UsageError, match="one input, of images; two has a, b"):
        prepare(Recipe("two", str(tmp_path / "two.onnx"), "fp32", uint8_input=True), tmp_path / "prepared")
