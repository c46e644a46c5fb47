"""`inferkit accuracy`: precisions, backends and models on the same real images, classes and layers."""

import argparse
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import inferkit
from inferkit.backends import backend
from inferkit.cli import accuracy
from inferkit.cli.main import main
from inferkit.measure.accuracy.probes import layer_blobs, open_probe, with_blobs
from inferkit.report.accuracy import _decibel
from tests.cli.called import exit_code


def told(capsys, *arguments, code=0):
    assert main(["accuracy", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_precision_against_fp32_pairs_images_and_shows_those_that_changed(capsys, tmp_path):
    found = told(capsys, "lenet", "--precision", "INT8", "--images", "1000", "--pictures", str(tmp_path / "changed"))
    assert (found["base"]["precision"], found["head"]["precision"]) == ("fp32", "int8")
    assert found["images"] == 1000
    assert found["top1"]["base"] > 90
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
    assert found["only_base"] == []
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


def test_a_network_that_lost_too_much_is_a_regression(capsys, tmp_path):
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
    assert (found["base"]["backend"], found["head"]["backend"]) == ("onnxruntime", "caffe")
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
    ("images", "dataset", "compared"), [("10", False, 10), ("10", True, 10), ("200", True, 40), ("40", True, 40)]
)
def test_layers_are_compared_over_as_many_images_as_are_told(capsys, tmp_path, images, dataset, compared):
    pixels = np.random.default_rng(2).random((40, 1, 28, 28), np.float32)
    np.savez(tmp_path / "images.npz", images=pixels)
    named = ("--dataset", str(tmp_path / "images.npz")) if dataset else ()
    path = str(tmp_path / "lenet.onnx")
    onnx.save(inferkit.load("lenet").model, path)
    found = told(capsys, path, "--precision", "fp16", "--layers", "--images", images, *named)["layers"]
    assert found["images"] == compared
    prob = found["layers"][-1]
    assert (prob["name"], prob["values"]) == ("prob", compared * 10)


@pytest.mark.parametrize("batches", [("N", 2), (2, "N"), (3, 3)])
def test_a_model_of_a_fixed_batch_is_compared_with_one_of_a_free_batch_either_way(capsys, tmp_path, batches):
    paths = [with_batch(tmp_path / f"{side}.onnx", batch) for side, batch in enumerate(batches)]
    found = told(capsys, *paths, "--dataset", "fashion_mnist", "--images", "7", "--layers")
    assert (found["images"], found["agreement"], found["layers"]["images"]) == (7, 1, 7)


def test_models_of_two_fixed_batches_are_refused(capsys, tmp_path):
    paths = [with_batch(tmp_path / f"{batch}.onnx", batch) for batch in (2, 50)]
    assert main(["accuracy", *paths, "--dataset", "fashion_mnist", "--images", "7"]) == 2
    assert "2.onnx takes batches of 2 only and" in capsys.readouterr().err


def with_batch(path, batch):
    """A model for Fashion-MNIST whose batch is `batch`."""
    weights = np.random.default_rng(1).standard_normal((10, 784)).astype(np.float32)
    make = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Flatten", ["data"], ["flat"]),
            onnx.helper.make_node("Gemm", ["flat", "weights"], ["prob"], transB=1),
        ],
        "linear",
        [make("data", onnx.TensorProto.FLOAT, [batch, 1, 28, 28])],
        [make("prob", onnx.TensorProto.FLOAT, [batch, 10])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


def weights_of(*words):
    """The weights of both sides of a command line."""
    parser = argparse.ArgumentParser()
    accuracy.configure(parser)
    return [engine.weights for engine in accuracy.engines_of(parser.parse_args(words))]


@pytest.mark.parametrize(
    ("models", "given", "taken"),
    [
        (["a.onnx", "b.prototxt"], ["b"], [None, "b"]),
        (["lenet", "b.prototxt"], ["b"], [None, "b"]),
        (["a.prototxt", "b.onnx"], ["a"], ["a", None]),
        (["a.prototxt", "b.prototxt"], ["a", "b"], ["a", "b"]),
        (["a.prototxt", "b.prototxt"], ["a"], ["a", None]),
    ],
)
def test_weights_go_to_the_prototxts_in_order(models, given, taken):
    assert weights_of(*models, "-w", *given) == taken


def test_the_weights_of_one_prototxt_are_those_of_both_sides():
    assert weights_of("a.prototxt", "-w", "a", "--precision", "fp16") == ["a", "a"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("lenet", "base and head are the same"),
        ("resnet50 --precision fp16", "--dataset"),
        ("lenet --precision int9", "unknown precision"),
        ("lenet --precision fp32,int8,fp16", "one for base and one for head"),
        ("lenet lenet lenet", "one or two models"),
        ("lenet --backend tensorflow", "--backend tensorflow"),
        ("lenet --precision int8 --backend caffe", "Caffe computes in fp32"),
        ("lenet --precision fp16 --images 0", "--images: '0' is not a whole number of at least 1"),
        ("lenet --precision fp16 --tolerance 0", "--tolerance: '0' is not a number of percentage points above 0"),
        ("lenet --precision fp16 --dataset /no/such", "/no/such"),
        ("a.onnx b.prototxt -w a b", "no prototxt for b;"),
        ("lenet --precision fp16 -w a", "no prototxt for a;"),
    ],
)
def test_what_cannot_be_compared_says_why(capsys, line, reason):
    assert exit_code(["accuracy", *line.split()]) == 2
    assert reason in capsys.readouterr().err


def test_a_network_of_several_inputs_is_refused_whether_or_not_there_is_a_dataset(capsys, tmp_path):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in "abc"]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "two", values[:2], values[2:])
    path = str(tmp_path / "two.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    for options in (["--layers"], ["--dataset", "fashion_mnist"]):
        assert exit_code(["accuracy", path, "--precision", "fp16", *options]) == 2
        said = "two.onnx has 2 inputs (a, b), and `inferkit accuracy` compares networks of one"
        assert said in capsys.readouterr().err


@pytest.mark.tensorrt_rtx
def test_blobs_become_outputs_of_a_graph_that_tensorrt_rtx_builds():
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


@pytest.mark.parametrize(
    "snr, not_finite, shown", [(None, 0, "equal"), (None, 3, "NaN and infinities differ"), (-200.0, 0, "-200.0 dB")]
)
def test_a_layer_without_an_error_to_tell_says_why(snr, not_finite, shown):
    assert _decibel({"snr_db": snr, "not_finite": not_finite}, " dB") == shown
