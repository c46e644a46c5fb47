"""A small network for the TensorRT tests."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def tiny_model(channels: int = 3, size: int = 12, classes: int = 10, batch: int | str = "N") -> onnx.ModelProto:
    """Convolution, ReLU, pooling, inner product, softmax: built in a fraction of a second."""
    random = np.random.default_rng(3)
    half = size // 2
    weights = {
        "w1": random.normal(size=(8, channels, 3, 3)),
        "b1": random.normal(size=8),
        "w2": random.normal(size=(classes, 8 * half * half)) * 0.1,
        "b2": random.normal(size=classes),
    }
    nodes = [
        helper.make_node("Conv", ["data", "w1", "b1"], ["conv"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"], name="relu"),
        helper.make_node("MaxPool", ["relu"], ["pool"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pool"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "w2", "b2"], ["score"], name="fc", transB=1),
        helper.make_node("Softmax", ["score"], ["prob"], name="prob", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch, channels, size, size])],
        [helper.make_tensor_value_info("prob", TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model
