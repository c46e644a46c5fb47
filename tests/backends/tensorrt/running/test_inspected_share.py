"""What really ran, by the inspector's answers of TensorRT 10.6 on an H200 (inspected/README.md).

Its builder chose INT8, FP16 and BF16 kernels throughout, left small products of TF32 networks in FP32, and had no
FP8 convolution that takes float32 in and out: it dequantized, and computed in FP32.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import inferkit
from inferkit.backends.layer_table import FP32_OR_TF32
from inferkit.backends.precision_share import precision_share
from inferkit.backends.tensorrt.running.layers import engine_layers
from inferkit.network.network import Network

FOLDER = Path(__file__).with_name("inspected")


def inspected(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


def network(name: str, precision: str, **options: bool) -> Network:
    images = np.random.default_rng(0).uniform(0, 1, (4, 1, 28, 28)).astype(np.float32)
    calibration = [images] if precision in ("int8", "fp8") else None
    return inferkit.at_precision(inferkit.load(name), precision, calibration, **options)


@pytest.mark.parametrize(
    ("name", "precision"),
    [*(("lenet", precision) for precision in ("fp32", "fp16", "bf16", "int8")),
     *(("fashion_resnet", precision) for precision in ("bf16", "int8"))],
)  # fmt: skip
def test_engines_that_run_as_asked(name: str, precision: str) -> None:
    share = precision_share(network(name, precision), engine_layers(inspected(f"{name}-{precision}"), {}))
    assert (share.share, share.others, share.reason) == (1.0, (), "")


def test_convolutions_of_fp8_that_were_dequantized_are_found() -> None:
    """The recorded engines are of networks whose first layer was FP8 too."""
    share = precision_share(network("lenet", "fp8", first_layer=True), engine_layers(inspected("lenet-fp8"), {}))
    assert [(each.layer, each.precision) for each in share.others] == [("conv2", "fp32"), ("conv1", "fp32")]
    # Products of LeNet: 3.2 and 0.576 million operations of 4.586 in its convolutions.
    assert share.share == pytest.approx(1 - 3.776 / 4.586)
    table = engine_layers(inspected("fashion_resnet-fp8"), {})
    share = precision_share(network("fashion_resnet", "fp8", first_layer=True), table)
    assert share.share is not None
    assert share.share < 0.001  # fc10 alone
    assert len(share.others) == 16


def test_small_products_that_tf32_leaves_in_fp32_are_named() -> None:
    share = precision_share(network("lenet", "tf32"), engine_layers(inspected("lenet-tf32"), {}))
    assert [(each.layer, each.precision) for each in share.others] == [("ip1", "fp32"), ("ip2", "fp32")]


def test_an_fp32_engine_whose_kernels_multiply_in_tf32_is_found() -> None:
    share = precision_share(inferkit.load("lenet"), engine_layers(inspected("lenet-tf32"), {}))
    assert [(each.layer, each.precision) for each in share.others] == [("conv2", "tf32"), ("conv1", "tf32")]


def without_kernels(content: dict) -> dict:
    layers = [{key: value for key, value in each.items() if key != "TacticName"} for each in content["Layers"]]
    return {**content, "Layers": layers}


@pytest.mark.parametrize("precision", ["fp16", "int8", "fp8"])
def test_without_names_of_kernels_the_types_of_tensors_say_the_same(precision: str) -> None:
    asked, content = network("lenet", precision), inspected(f"lenet-{precision}")
    by_names, by_types = (
        precision_share(asked, engine_layers(each, {})) for each in (content, without_kernels(content))
    )
    assert by_types.share == by_names.share
    # Such kernels may multiply in TF32 as well: who asked for FP8 has it in neither case.
    assert {each.precision for each in by_types.others} <= {FP32_OR_TF32}


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_without_names_of_kernels_fp32_cannot_be_told_from_tf32(precision: str) -> None:
    share = precision_share(network("lenet", precision), engine_layers(without_kernels(inspected("lenet-fp32")), {}))
    assert share.share is None
    assert "what 100 % of the work runs in is not known" in share.reason


def test_an_engine_without_detailed_verbosity_says_nothing() -> None:
    names = {"Layers": [each["Name"] for each in inspected("lenet-int8")["Layers"]]}
    share = precision_share(network("lenet", "int8"), engine_layers(names, {}))
    assert (share.share, share.reason) == (None, "the backend does not say what its layers compute in")


def test_without_metadata_fused_names_are_enough() -> None:
    content = inspected("lenet-fp16")
    bare = [{key: value for key, value in each.items() if key != "Metadata"} for each in content["Layers"]]
    assert precision_share(network("lenet", "fp16"), engine_layers({"Layers": bare}, {})).share == 1.0
