"""`inferkit import`: writes a checked ONNX file, says what is in it, and leaves nothing behind when it fails."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

import inferkit
from inferkit.cli.main import main
from inferkit.cli.model_options import parse_shapes
from inferkit.errors import UsageError

NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "constant" value: 1 } }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "aside" type: "TanH" bottom: "data" top: "aside" include { stage: "more" } }
"""


@pytest.fixture
def prototxt(tmp_path: Path) -> Path:
    path = tmp_path / "deploy.prototxt"
    path.write_text(NET)
    return path


def test_it_writes_a_model_and_prints_a_summary(prototxt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = prototxt.parent / "out" / "model.onnx"
    assert main(["import", str(prototxt), "-o", str(target)]) == 0
    onnx.checker.check_model(str(target), full_check=True)
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == "small"
    assert "data: float32 N x 3 x 6 x 6" in printed
    assert "conv: float32 N x 4 x 4 x 4" in printed
    assert "parameters 112" in printed
    assert str(target) in printed


def test_json(prototxt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = prototxt.with_suffix(".onnx")
    assert main(["import", str(prototxt), "-o", str(target), "--json", "--name", "mine", "--stage", "more"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["name"] == "mine"
    assert summary["inputs"] == [{"name": "data", "type": "float32", "shape": [None, 3, 6, 6]}]
    assert [output["name"] for output in summary["outputs"]] == ["aside", "conv"]
    assert summary["nodes"] == {"Conv": 1, "Relu": 1, "Tanh": 1}
    assert summary["parameters"] == 4 * 3 * 9 + 4
    assert summary["files"] == [{"path": str(target), "bytes": target.stat().st_size}]


def test_an_input_shape(prototxt: Path) -> None:
    target = prototxt.with_suffix(".onnx")
    assert main(["import", str(prototxt), "-o", str(target), "--input-shape", "1,3,8,10"]) == 0
    assert inferkit.load(target).inputs[0].shape == (None, 3, 8, 10)


@pytest.mark.parametrize(
    "words, reason",
    [
        (["missing.prototxt"], "does not exist"),
        (["deploy.prototxt", "missing.caffemodel"], "does not exist"),
        (["deploy.prototxt", "--input-shape", "wide"], "whole numbers"),
        (["deploy.prototxt", "--input-shape", "dato=1,3,8,8"], "'dato'"),
    ],
)
def test_a_failure_is_one_line_and_no_file(
    words: list[str],
    reason: str,
    prototxt: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(prototxt.parent)
    assert main(["import", *words, "-o", "model.onnx"]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert len(error.strip().splitlines()) == 1
    assert [file.name for file in prototxt.parent.iterdir()] == ["deploy.prototxt"]


def test_a_target_that_cannot_be_written(prototxt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(prototxt), "-o", str(prototxt / "model.onnx")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, shapes",
    [
        ([], None),
        (["1,3,8,8"], (1, 3, 8, 8)),
        (["1x3x8x8"], (1, 3, 8, 8)),
        (["data=1,3", "a=b=4"], {"data": (1, 3), "a=b": (4,)}),
        (["H=48,W=320", "data=1,3"], {"H": 48, "W": 320, "data": (1, 3)}),
    ],
)
def test_shapes_are_parsed(words: list[str], shapes: object) -> None:
    assert parse_shapes(words) == shapes


@pytest.mark.parametrize("words", [["1,3", "2,4"], ["data=1,3", "2,4"], ["1,,3"], ["0,3"], ["data="], ["H=0"]])
def test_shapes_that_make_no_sense(words: list[str]) -> None:
    with pytest.raises(UsageError, match="--input-shape"):
        parse_shapes(words)
