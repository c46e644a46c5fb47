"""Networks in the manner of public models go through the whole import and compute what real Caffe computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from caffe_judge import TOLERANCE, difference, draw, input_shapes, judge, run
from era_nets import ALL, EraNet
from pycaffe_oracle import oracle

import inferkit

# What the prototxts leave open, as a user would give it.
SHAPES = {"siamese": (2, 2, 16, 16), "fcn": (1, 3, 21, 26)}

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
    found = run(network, feeds)
    assert set(found) == {ours for ours, _ in net.outputs}
    for ours, theirs in net.outputs:
        wanted = _softmax(expected["score"]) if theirs == "softmax of score" else expected[theirs]
        assert difference(found[ours], wanted) < TOLERANCE


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
