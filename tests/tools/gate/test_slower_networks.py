"""A slowed network is valid, keeps its outputs' shapes and has the layers that were asked for."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

import inferkit
from tools.gate.slower_networks import slowed


def test_the_added_poolings_run_in_front_of_the_last_one() -> None:
    network = inferkit.load("lenet")
    slow = slowed(network.model, 2)
    onnx.checker.check_model(slow, full_check=True)
    kinds = [node.op_type for node in slow.graph.node]
    assert kinds.count("AveragePool") == 2
    assert kinds.index("AveragePool") + 2 == len(kinds) - 1 - kinds[::-1].index("MaxPool")

    images = np.random.default_rng(1).normal(size=(2, *network.inputs[0].shape[1:])).astype(np.float32)
    results = [
        onnxruntime.InferenceSession(model.SerializeToString()).run(None, {network.inputs[0].name: images})[0]
        for model in (network.model, slow)
    ]
    assert results[0].shape == results[1].shape
    assert not np.array_equal(*results)


def test_a_network_without_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="no pooling"):
        slowed(onnx.ModelProto(), 1)
