"""Part `accumulation`: do an engine's FP16 convolutions and inner products add up in FP16 or in FP32?

A sum is brought to 4,032 by its first products; each further product is 1/16, and each 16 of them are 1. FP16 counts
in steps of 2 up there, so a sum kept in FP16 stays where it is, and one kept in FP32 grows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tools.gpu.common import Results, folder, say

LENGTHS = (1152, 4608)  # products per sum
_FIRST, _LARGE, _SMALL = 576, 7.0, 2.0**-4


def model(kind: str, length: int) -> tuple[onnx.ModelProto, float]:
    """A network of one layer for an input of ones, and the sum that it should compute."""
    channels, flat = length // 9, np.full(length, _SMALL, np.float16)
    flat[:_FIRST] = _LARGE
    exact = _FIRST * _LARGE + (length - _FIRST) * _SMALL
    if kind == "conv":
        weights = np.repeat(flat.reshape(1, channels, 3, 3), 64, axis=0)
        shapes, node = ([1, channels, 8, 8], [1, 64, 6, 6]), helper.make_node("Conv", ["x", "w"], ["y"])
    else:
        weights = np.repeat(flat.reshape(length, 1), 64, axis=1)
        shapes, node = ([1, length], [1, 64]), helper.make_node("MatMul", ["x", "w"], ["y"])
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, shape)
        for name, shape in zip("xy", shapes, strict=True)
    ]
    graph = helper.make_graph([node], kind, values[:1], values[1:], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), exact


def run(results: Results) -> None:
    """Build and run one layer of each kind and length."""
    import inferkit

    found: dict[str, Any] = {}
    for kind in ("conv", "inner product"):
        for length in LENGTHS:
            made, exact = model(kind, length)
            path = folder("accumulation") / f"{kind.split()[0]}-{length}.onnx"
            onnx.save(made, path)
            network = inferkit.load(str(path))
            engine: Any = inferkit.build(network, backend="tensorrt", max_batch=1, static=True, cache=False)
            with engine.session() as session:
                shape = [dim or 1 for dim in network.inputs[0].shape]
                got = float(session.run(np.ones(shape, np.float16))["y"].astype(np.float64).flat[0])
            found[f"{kind} of {length}"] = {"exact": exact, "got": got}
            kept = "FP32" if abs(got - exact) < abs(got - _FIRST * _LARGE) else "FP16"
            say(f"{kind} of {length} products: {got:g}, exactly {exact:g}: it adds up in {kept}")
    results.put("accumulation", found)
