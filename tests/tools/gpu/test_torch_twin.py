"""PyTorch computes with the ONNX graph's nodes what ONNX Runtime computes."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

import inferkit
from tools.gpu.torch_twin import TorchTwin


@pytest.mark.parametrize("name", ["fashion_resnet", "fashion_vgg"])
def test_the_twin_computes_the_same(name: str) -> None:
    torch = pytest.importorskip("torch", reason="only the comparison with PyTorch needs it")
    network = inferkit.load(name)
    images = np.random.default_rng(1).random((3, *network.inputs[0].shape[1:]), np.float32)
    session = onnxruntime.InferenceSession(network.model.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {network.inputs[0].name: images})
    with torch.inference_mode():
        got = TorchTwin(network.model, "cpu", torch.float32)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(got.reshape(expected.shape), expected, atol=1e-5)  # probabilities, summed in FP32
