"""Small networks that the tests of backends run: written as ONNX text, with seeded weights."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper, parser

from inferkit.network.network import Network

_CLASSIFIER = """
<ir_version: 8, opset_import: ["" : 17]>
classifier (float[N, 3, 8, 8] data) => (float[N, 4] prob)
{
  conv = Conv <pads = [1, 1, 1, 1]> (data, weights, bias)
  relu = Relu(conv)
  pooled = GlobalAveragePool(relu)
  flat = Flatten(pooled)
  prob = Softmax(flat)
}
"""


def network(text: str, name: str = "small", **weights: np.ndarray) -> Network:
    """The network of an ONNX text; `weights` become its initializers."""
    model = parser.parse_model(text)
    for key, value in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(value, key))
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.output[0]}_{number}"
    onnx.checker.check_model(model)
    return Network.from_model(model, name)


def classifier() -> Network:
    """conv, ReLU, global average, softmax over 4 classes; images are [N, 3, 8, 8]."""
    random = np.random.default_rng(1)
    weights = random.standard_normal((4, 3, 3, 3)).astype(np.float32)
    return network(_CLASSIFIER, weights=weights, bias=np.arange(4, dtype=np.float32) / 4)


def classifier_by_hand(images: np.ndarray) -> np.ndarray:
    """What `classifier` computes, in numpy: float64 [N, 4]."""
    model = classifier().model
    weights, bias = (numpy_helper.to_array(tensor).astype(np.float64) for tensor in model.graph.initializer)
    padded = np.pad(images.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    conv = np.einsum("nchwij,ocij->nohw", windows, weights) + bias[:, None, None]
    logits = np.maximum(conv, 0).mean(axis=(2, 3))
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def images(batch: int, seed: int = 0) -> np.ndarray:
    """float32 [batch, 3, 8, 8], uniform in -1 to 1."""
    return np.random.default_rng(seed).uniform(-1, 1, (batch, 3, 8, 8)).astype(np.float32)
