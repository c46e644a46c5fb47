"""`inferkit accuracy`: precisions, backends and models on the same real images, classes and layers."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import inferkit
from inferkit.backends import backend
from inferkit.cli.main import main
from inferkit.measure.probes import layer_blobs, open_probe, with_blobs


def told(capsys, *arguments, code=0):
    assert main(["accuracy", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_precision_against_fp32_pairs_images_and_shows_those_that_changed(capsys, tmp_path):
    found = told(capsys, "lenet", "--precision", "INT8", "--images", "1000", "--pictures", str(tmp_path / "changed"))
    assert (found["first"]["precision"], found["second"]["precision"]) == ("fp32", "int8")
    assert found["images"] == 1000
    assert found["top1"]["first"] > 90
    changed = found["confusion"]
    assert changed["changed"] == round(1000 * (1 - found["agreement"])) > 0
    assert sum(pair["count"] for pair in changed["pairs"]) == changed["changed"]
    assert found["top1"]["lost"] == changed["lost"]
    assert len(list((tmp_path / "changed").glob("*.png"))) == changed["changed"]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_every_layer_of_a_rewritten_graph_is_found_again(capsys, precision):
    found = told(capsys, "lenet", "--precision", precision, "--layers", "--images", "32")["layers"]
    names = [layer["name"] for layer in found["layers"]]
    assert names == list(layer_blobs(inferkit.load("lenet")))
    assert found["only_first"] == []
    assert found["first_divergent"] is None
    assert min(layer["snr_db"] for layer in found["layers"]) > found["limit_db"]


def test_the_first_layer_that_diverges_is_the_one_that_was_changed(capsys, tmp_path):
    model = onnx.ModelProto()
    model.CopyFrom(inferkit.load("lenet").model)
    (weight,) = [each for each in model.graph.initializer if each.name == "conv2/weight"]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    path = tmp_path / "changed.onnx"
    onnx.save(model, path)
    assert main(["accuracy", "lenet", str(path), "--layers", "--images", "20"]) == 0
    text = capsys.readouterr().out
    assert "first to diverge: conv2 (40." in text  # 1 % of the weights; the bias is as it was
    assert "conv1" in text
    assert "equal" in text


def test_a_network_that_lost_too_much_ends_with_1(capsys, tmp_path):
    model = onnx.ModelProto()
    model.CopyFrom(inferkit.load("lenet").model)
    (weight,) = [each for each in model.graph.initializer if each.name == "ip2/weight"]
    weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), weight.name))
    onnx.save(model, tmp_path / "spoilt.onnx")
    found = told(capsys, "lenet", str(tmp_path / "spoilt.onnx"), "--images", "100", code=1)
    assert found["verdict"] == "REGRESSED"
    assert "REGRESSED" in found["line"]


@pytest.mark.pycaffe
def test_caffe_and_onnx_runtime_agree_layer_by_layer(capsys):
    found = told(capsys, "lenet", "--backend", "caffe", "--layers", "--images", "50")
    assert (found["first"]["backend"], found["second"]["backend"]) == ("onnxruntime", "caffe")
    assert found["agreement"] == 1
    layers = found["layers"]
    assert [each["name"] for each in layers["layers"]] == ["conv1", "pool1", "conv2", "pool2", "ip1", "ip2", "prob"]
    assert layers["first_divergent"] is None
    assert layers["limit_db"] == 80


def test_a_network_without_images_of_its_own_can_still_be_compared_by_layers(capsys):
    found = told(capsys, "squeezenet1_1", "--precision", "fp16", "--layers", "--images", "1", "--batch-size", "1")
    assert "images" not in found
    assert len(found["layers"]["layers"]) == len(layer_blobs(inferkit.load("squeezenet1_1")))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("lenet", "both sides are the same"),
        ("resnet50 --precision fp16", "--dataset"),
        ("lenet --precision int9", "unknown precision"),
        ("lenet --precision fp32,int8,fp16", "one for each side"),
        ("lenet lenet lenet", "one or two models"),
        ("lenet --backend tensorflow", "--backend tensorflow"),
        ("lenet --precision int8 --backend caffe", "Caffe computes in fp32"),
        ("lenet --precision fp16 --images 0", "--images must be at least 1"),
        ("lenet --precision fp16 --dataset /no/such", "/no/such"),
    ],
)
def test_what_cannot_be_compared_says_why(capsys, line, reason):
    assert main(["accuracy", *line.split()]) == 2
    assert reason in capsys.readouterr().err


def test_blobs_become_outputs_of_a_graph_that_tensorrt_rtx_builds():
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (pip install tensorrt-rtx-cu13)")
    network = inferkit.at_precision(inferkit.load("lenet"), "fp16")
    probed = with_blobs(network, list(layer_blobs(network)))
    engine = backend("tensorrt").build(probed, 4, cache=False)
    assert {info.name for info in engine.plan_info.outputs} == set(layer_blobs(network))


def test_a_probe_shows_what_the_network_puts_out():
    network = inferkit.load("lenet")
    images = np.random.default_rng(1).random((3, 1, 28, 28), np.float32)
    probe = open_probe(network, "onnxruntime", 3)
    with inferkit.build(network, backend="onnxruntime", max_batch=3).session() as session:
        np.testing.assert_allclose(probe.run(images)["prob"], session.run(images)["prob"], atol=1e-6)
    probe.close()
