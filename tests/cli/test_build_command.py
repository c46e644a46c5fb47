"""`inferkit build`: engine files from the command line, and options that do not fit."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import inferkit
from inferkit.cli.build import configure
from inferkit.cli.main import main
from inferkit.cli.precision_options import at_precision
from inferkit.cli.uint8_options import with_asked_input
from inferkit.precision.qdq import quantized_tensors


@pytest.fixture
def rtx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INFERKIT_TENSORRT", "tensorrt_rtx")
    monkeypatch.setenv("INFERKIT_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("rtx")
def test_it_writes_a_plan_and_its_metadata(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "deep" / "engine.plan"
    arguments = ["build", "lenet", "--precision", "HALF", "--max-batch", "16", "--opt-batch", "8", "--target", "sm89"]
    assert main([*arguments, "-o", str(target)]) == 0
    info = json.loads(Path(f"{target}.json").read_text())
    assert info["precision"] == "fp16"
    assert info["profile"] == [1, 8, 16]
    assert info["targets"] == ["sm89"]
    assert info["size_bytes"] == target.stat().st_size
    printed = capsys.readouterr().out.splitlines()[-1]
    assert "lenet fp16, batch up to 16" in printed
    assert str(target) in printed


@pytest.mark.usefixtures("rtx")
@pytest.mark.parametrize("words", [["--target", "sm86", "--target", "sm89"], ["--target", "sm86,sm89"]])
def test_every_target_that_is_named_counts(words, tmp_path):
    target = tmp_path / "engine.plan"
    assert main(["build", "lenet", "--no-cache", *words, "-o", str(target)]) == 0
    assert json.loads(Path(f"{target}.json").read_text())["targets"] == ["sm86", "sm89"]


@pytest.mark.usefixtures("rtx")
def test_a_second_time_it_comes_from_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["build", "lenet"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "built in" in first
    assert "from the cache" in second


@pytest.mark.usefixtures("rtx")
def test_raw_pixels_as_input(tmp_path: Path) -> None:
    target = tmp_path / "engine.plan"
    pixels = ["--uint8-input", "--mean", "33.5", "--scale", "0.00390625"]
    assert main(["build", "lenet", "--no-cache", *pixels, "-o", str(target)]) == 0
    assert json.loads(Path(f"{target}.json").read_text())["inputs"][0]["dtype"] == "uint8"
    assert not (tmp_path / "cache" / "engines").exists()


@pytest.mark.parametrize(
    ("model", "options", "nodes"),
    [
        ("lenet", [], ["Cast", "Mul", "Conv"]),  # the scale of its card
        ("lenet", ["--mean", "33.5"], ["Cast", "Sub", "Conv"]),
        ("lenet", ["--mean", "33.5", "--scale", "0.5"], ["Cast", "Sub", "Mul"]),
        ("squeezenet1_1", [], ["Cast", "Conv"]),  # made-up weights: nothing is subtracted
    ],
)
def test_raw_pixels_are_normalized_as_stated_or_as_a_trained_network_s(
    model: str, options: list[str], nodes: list[str]
) -> None:
    parser = argparse.ArgumentParser()
    configure(parser)
    args = parser.parse_args([model, "--uint8-input", *options])
    network = with_asked_input(inferkit.load(model), args)
    assert network.inputs[0].dtype == "uint8"
    assert [node.op_type for node in network.model.graph.node][: len(nodes)] == nodes


def test_raw_pixels_are_for_every_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "lenet", "--uint8-input", "--backend", "onnxruntime"]) == 0
    assert "lenet fp32, batch up to 1" in capsys.readouterr().out


@pytest.mark.usefixtures("rtx")
def test_an_int8_engine_from_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from inferkit.backends.tensorrt.flavour import load_flavour

    target = tmp_path / "engine.plan"
    data = ["--calibration-data", "fashion_mnist", "--calibration-images", "20", "--calibration-method", "max"]
    code = main(["build", "lenet", "--precision", "int8", *data, "-o", str(target)])
    if refusal := load_flavour().refusal("int8"):
        assert code == 2
        assert refusal in capsys.readouterr().err
        return
    assert code == 0
    assert "max" in json.loads(Path(f"{target}.json").read_text())["calibration"]


def test_layers_stay_fp32_and_edges_become_half_on_request() -> None:
    def brought(*options: str) -> inferkit.Network:
        parser = argparse.ArgumentParser()
        configure(parser)
        return at_precision(inferkit.load("lenet"), parser.parse_args(["lenet", *options]))

    data = ["--calibration-data", "fashion_mnist", "--calibration-images", "5"]
    int8 = brought("--precision", "int8", *data)
    assert len(quantized_tensors(int8.model)) == 4
    assert len(quantized_tensors(brought("--precision", "int8", *data, "--keep", "conv*").model)) == 2
    assert len(quantized_tensors(brought("--precision", "int8", *data, "--keep-first", "--keep-last").model)) == 2
    half = brought("--precision", "fp16", "--half-inputs", "--half-outputs")
    assert [info.dtype for info in (*half.inputs, *half.outputs)] == ["float16", "float16"]


def test_calibration_images_are_preprocessed_as_the_network_wants(tmp_path: Path) -> None:
    """A trained network of the zoo has its own preprocessing; images of a folder are resized to the input."""
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((40, 50, 3), 60 + index, np.uint8))
    int8 = ["--backend", "onnxruntime", "--precision", "int8", "--calibration-method", "max"]
    for model, data, options, amax in (
        ("lenet", "fashion_mnist", ["--calibration-images", "20"], 255 / 256),
        ("squeezenet1_1", str(tmp_path), ["--calibration-mean", "10"], 52.0),
    ):
        parser = argparse.ArgumentParser()
        configure(parser)
        args = parser.parse_args([model, *int8, "--calibration-data", data, *options])
        network = at_precision(inferkit.load(model), args)
        assert quantized_tensors(network.model)["data"] * 127 == pytest.approx(amax, rel=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--precision", "fp99"], "unknown precision"),
        (["--precision", "fp16", "--calibration", "cache"], "needs no calibration"),
        (["--calibration", "a", "--calibration-data", "b", "--precision", "int8"], "cannot be used together"),
        (["--precision", "int8", "--calibration-mean", "1"], "--calibration-data"),
        (["--precision", "int8"], "needs a calibration"),
        (["--calibration", "cache"], "needs no calibration"),
        (["--keep", "conv1"], "every layer is FP32"),
        (["--precision", "fp16", "--keep", "conv9"], "no layer is named 'conv9'"),
        (["--precision", "fp16", "--keep-first"], "--keep-first is for int8 and fp8"),
        (["--precision", "int8", "--half-inputs"], "--half-inputs is for fp16 and bf16"),
        (["--backend", "onnxruntime", "--target", "sm89"], "--target is for tensorrt"),
        (["--backend", "onnxruntime", "--mean", "104"], "need --uint8-input"),
        (["--backend", "onnxruntime", "--mean-image", "m.npy"], "need --uint8-input"),
        (["--backend", "onnxruntime", "--scale", "0.5"], "need --uint8-input"),
        (["--backend", "onnxruntime", "--no-cache"], "--no-cache is for tensorrt"),
        (["--backend", "onnxruntime", "-o", "engine.plan"], "onnxruntime has no engine files"),
        (["--no-cache"], "--no-cache needs --output"),
        (["--mean", "1"], "--uint8-input"),
        (["--uint8-input", "--mean", "1", "--mean-image", "m.npy"], "cannot be used together"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "lenet", *options]) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "no-such-network"]) == 2
    assert "no-such-network" in capsys.readouterr().err
