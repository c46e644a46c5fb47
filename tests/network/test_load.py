"""inferkit.load takes Caffe models, ONNX files and zoo names; anything else is an error that names the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import checker

import inferkit
from inferkit.errors import NetworkError, UsageError
from inferkit.network import zoo
from inferkit.network.network import TensorInfo, unit_of
from tests.network.caffe.caffe_judge import run
from tests.network.caffe.layers.caffe_cases import IMAGE, conv, data, layer

FILLED = 'weight_filler { type: "constant" value: 0.5 }'
NET = 'name: "small"\n' + IMAGE + layer("Convolution", conv(f"num_output: 2 kernel_size: 3 {FILLED}"), tops="prob")


def write(folder: Path, text: str, name: str = "net.prototxt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_caffe_net_has_its_blobs_names_a_free_batch_and_its_files(tmp_path: Path) -> None:
    path = write(tmp_path, NET)
    network = inferkit.load(path)
    assert network.name == "small"
    assert [(info.name, info.dtype, info.shape) for info in network.inputs] == [("data", "float32", (None, 4, 9, 7))]
    assert [(info.name, info.shape) for info in network.outputs] == [("prob", (None, 2, 7, 5))]
    assert network.source is not None
    assert (network.source.prototxt, network.source.caffemodel) == (path, None)
    assert network.precision == "fp32"
    assert network.notes == ()


@pytest.mark.parametrize("name", ["a\0.onnx", "a\0", "a" * 300, f"{'a' * 300}.onnx", f"{'a' * 300}.prototxt"])
def test_what_can_be_the_name_of_no_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises((NetworkError, UsageError)):
        inferkit.load(str(tmp_path / name))
    with pytest.raises((NetworkError, UsageError)):
        inferkit.load(name)


def test_the_model_is_checked_onnx_of_opset_17_or_newer(tmp_path: Path) -> None:
    model = inferkit.load(write(tmp_path, NET)).model
    checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version >= 17) for entry in model.opset_import] == [("", True)]
    assert [node.name for node in model.graph.node] == ["prob"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_deterministic_fillers_stand_in_for_a_caffemodel(tmp_path: Path) -> None:
    network = inferkit.load(write(tmp_path, NET))
    result = run(network, {"data": np.ones((3, 4, 9, 7), np.float32)})["prob"]
    assert result.shape == (3, 2, 7, 5)
    assert np.all(result == 0.5 * 4 * 9)


def test_name_and_input_shape_are_the_callers(tmp_path: Path) -> None:
    path = write(tmp_path, NET)
    network = inferkit.load(path, name="mine", input_shape=(1, 4, 12, 12))
    assert network.name == "mine"
    assert network.inputs[0].shape == (None, 4, 12, 12)
    assert inferkit.load(path, input_shape={"data": (1, 4, 5, 5)}).outputs[0].shape == (None, 2, 3, 3)


def test_one_shape_for_two_inputs_needs_a_name(tmp_path: Path) -> None:
    path = write(tmp_path, data(1, 2) + data(1, 2, name="more") + layer("Eltwise", "", "data more"))
    with pytest.raises(NetworkError, match="data, more"):
        inferkit.load(path, input_shape=(1, 3))
    assert inferkit.load(path, input_shape={"data": (1, 3), "more": (1, 3)}).outputs[0].shape == (None, 3)


def test_an_unnamed_net_is_called_as_its_file(tmp_path: Path) -> None:
    assert inferkit.load(write(tmp_path, IMAGE + layer("TanH"), "deploy_v2.prototxt")).name == "deploy_v2"


def test_phase_level_and_stage_choose_the_layers(tmp_path: Path) -> None:
    text = data(2, 3)
    text += layer("TanH", 'include { phase: TEST stage: "a" min_level: 1 }', tops="chosen")
    text += layer("ReLU", "include { phase: TRAIN }", tops="trained")
    text += layer("Sigmoid", tops="always")
    path = write(tmp_path, text)
    names = {
        "TEST": [info.name for info in inferkit.load(path).outputs],
        "TRAIN": [info.name for info in inferkit.load(path, phase="train").outputs],
        "staged": [info.name for info in inferkit.load(path, level=1, stages=["a"]).outputs],
    }
    assert names == {"TEST": ["always"], "TRAIN": ["always", "trained"], "staged": ["always", "chosen"]}


def test_a_zoo_name() -> None:
    network = inferkit.load("lenet")
    assert network.name == "lenet"
    assert network.source is not None
    assert network.source.caffemodel is not None
    assert inferkit.load("lenet", name="mine").name == "mine"


def test_an_unknown_word_lists_the_zoo() -> None:
    with pytest.raises(UsageError, match=r"'resnet49'.*resnet50"):
        inferkit.load("resnet49")
    assert "lenet" in zoo.names()


@pytest.mark.parametrize(
    "arguments, options, error, reason",
    [
        (("weights.caffemodel",), {}, UsageError, "prototxt first"),
        (("model.onnx", "weights.caffemodel"), {}, UsageError, "takes no caffemodel"),
        (("model.onnx",), {"level": 3}, UsageError, "level: for Caffe models only"),
        (("lenet",), {"input_shape": (1, 1, 28, 28)}, UsageError, "input_shape: for Caffe models only"),
        (("missing.prototxt",), {}, NetworkError, "missing.prototxt does not exist"),
        (("missing.onnx",), {}, NetworkError, "missing.onnx does not exist"),
        (("folder/lenet",), {}, NetworkError, "does not exist"),
        (("net.prototxt",), {"phase": "DEPLOY"}, UsageError, "TEST and TRAIN"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    arguments: tuple,
    options: dict,
    error: type[Exception],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=reason):
        inferkit.load(*arguments, **options)


def test_a_file_without_a_suffix_is_recognized_by_its_content(tmp_path: Path) -> None:
    network = inferkit.load(write(tmp_path, NET, "deploy"))
    assert network.name == "small"
    (tmp_path / "model").write_bytes(network.model.SerializeToString())
    assert inferkit.load(tmp_path / "model").outputs == network.outputs


@pytest.mark.parametrize(
    ("shapes", "unit"),
    [
        ([(None, 3, 224, 224)], "images"),
        ([(None, 1, 28, 28)], "images"),
        ([(8, 224, 224, 3)], "images"),
        ([(None, 784)], "items"),
        ([(None, 2048, 7, 7)], "items"),
        ([(None, 3, 8, 8), (None, 5)], "items"),
        ([], "items"),
    ],
)
def test_a_batch_is_of_images_where_the_only_input_is_one(shapes: list[tuple[int | None, ...]], unit: str) -> None:
    assert unit_of([TensorInfo(f"in{n}", "float32", shape) for n, shape in enumerate(shapes)]) == unit
