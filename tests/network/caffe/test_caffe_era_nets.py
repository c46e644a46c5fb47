"""Networks in the style of public models go through the whole import and compute what real Caffe computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import inferkit
from inferkit.network.caffe.files.read import CaffeModel, read_caffemodel
from inferkit.network.caffe.files.schema import NetParameter
from inferkit.network.caffe.files.wire import put_values
from tests.network.caffe.caffe_judge import TOLERANCE, difference, draw, input_shapes, judge, run
from tests.network.caffe.era_nets import ALL, IMAGENET_2013, EraNet
from tests.network.caffe.pycaffe_oracle import oracle

# What the prototxts leave open, as a user would give it.
SHAPES = {"siamese": (2, 2, 16, 16), "fcn": (1, 3, 21, 26), "superresolution": (1, 1, 9, 11)}

every_net = pytest.mark.parametrize("net", ALL, ids=lambda net: net.name)


@pytest.mark.pycaffe
@every_net
def test_the_deploy_prototxt_computes_what_caffe_computes(tmp_path: Path, net: EraNet) -> None:
    verdict = judge(net.deploy, tmp_path)
    assert verdict.error < TOLERANCE
    assert verdict.other_batch is not False


@pytest.mark.pycaffe
@pytest.mark.parametrize("net", [net for net in ALL if net.train], ids=lambda net: net.name)
def test_the_training_prototxt_gives_the_same_from_the_same_weights(tmp_path: Path, net: EraNet) -> None:
    deploy, train, weights = tmp_path / "deploy.prototxt", tmp_path / "train_val.prototxt", tmp_path / "w.caffemodel"
    deploy.write_text(net.deploy)
    train.write_text(net.train)
    feeds = draw(input_shapes(net.deploy), 3)
    (expected,) = oracle().run(deploy, feeds=[feeds], save=weights, seed=3).results
    stages = ["test-on-test"] if net.name == "autoencoder" else []
    network = inferkit.load(train, weights, input_shape=SHAPES.get(net.name), stages=stages)
    actual = run(network, feeds)
    assert set(actual) == {ours for ours, _ in net.outputs}
    for ours, by_caffe in net.outputs:
        wanted = _softmax(expected["score"]) if by_caffe == "softmax of score" else expected[by_caffe]
        assert difference(actual[ours], wanted) < TOLERANCE


@pytest.mark.pycaffe
@pytest.mark.parametrize("form", ["v0", "v1", "v2"])
@pytest.mark.parametrize("double", [False, True], ids=["single", "double"])
def test_a_model_of_any_age_brings_the_same_weights(tmp_path: Path, form: str, double: bool) -> None:
    deploy, weights = tmp_path / "deploy.prototxt", tmp_path / "w.caffemodel"
    deploy.write_text(IMAGENET_2013.deploy)
    oracle().run(deploy, save=weights, seed=3)
    weights.write_bytes(_aged(read_caffemodel(weights), form, double).SerializeToString())
    feeds = draw(input_shapes(IMAGENET_2013.deploy), 3)
    (expected,) = oracle().run(deploy, feeds=[feeds], weights=weights).results
    assert expected["prob"].std() > 1e-3
    assert difference(run(inferkit.load(deploy, weights), feeds)["prob"], expected["prob"]) < TOLERANCE


def _aged(model: CaffeModel, form: str, double: bool) -> NetParameter:
    """The model in an older form, with shapes of four numbers; `double` as a double-precision Caffe writes numbers."""
    old = NetParameter()
    for layer in model.net.layer:
        if form == "v0":
            blobs = old.layers.add().layer.blobs
            old.layers[-1].layer.name = layer.name
        else:
            blobs = (old.layers if form == "v1" else old.layer).add(name=layer.name).blobs
        for blob in layer.blobs:
            four = [1, 1, 1, 1, *blob.shape.dim][-4:]
            aged = blobs.add(num=four[0], channels=four[1], height=four[2], width=four[3])
            if double:
                aged.double_data.extend(model.values(blob).astype(float).tolist())
            else:
                put_values(aged, model.values(blob))
    return old


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
