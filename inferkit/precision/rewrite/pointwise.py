"""Writes an inner product of pooled images as a convolution of 1×1, so that quantized values stay images.

Behind the average pooling of a classifier an image is one pixel. TensorRT runs pooling and product in INT8 where both
are layers of images; where a Reshape lies between them, the pooling stays FP32.
"""

from __future__ import annotations

import onnx

from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import attribute
from inferkit.precision.rewrite.value_types import ValueType

_FLATTENING = frozenset({"Reshape", "Flatten", "Squeeze"})


def products_of_pixels(graph: Graph) -> None:
    """Rewrite each Gemm that reads images [N, C, 1, …, 1] flattened to [N, C], and has constant weights of float32.

    What flattens them stays, read by nothing: by it the ranges of earlier calibrations, which have the flattened
    tensor's name, are known to be the image's. `Graph.prune` removes it.
    """
    types = graph.types()
    for node in list(graph.nodes):
        if node.op_type == "Gemm" and node.domain in ("", "ai.onnx"):
            _rewrite(graph, node, types)


def _rewrite(graph: Graph, gemm: onnx.NodeProto, types: dict[str, ValueType]) -> None:
    flattening = graph.producer(gemm.input[0])
    weights = graph.array(gemm.input[1])
    if flattening is None or flattening.op_type not in _FLATTENING or weights is None or weights.dtype != "float32":
        return
    if attribute(gemm, "transA", 0) or any(attribute(gemm, name, 1.0) != 1.0 for name in ("alpha", "beta")):
        return
    if not attribute(gemm, "transB", 0):
        weights = weights.T
    outputs, channels = weights.shape
    image, flat = (types.get(name) for name in (flattening.input[0], gemm.input[0]))
    if image is None or flat is None or image.shape is None or image.rank not in (3, 4, 5):
        return
    pixels = (1,) * (len(image.shape) - 2)
    if image.shape[1:] != (channels, *pixels) or flat.shape is None or flat.shape[1:] != (channels,):
        return
    bias = graph.array(gemm.input[2]) if len(gemm.input) > 2 and gemm.input[2] else None
    if len(gemm.input) > 2 and gemm.input[2] and (bias is None or bias.size != outputs):
        return
    name, result = gemm.name, gemm.output[0]
    reads = [
        flattening.input[0],
        graph.add_constant(f"{gemm.input[1]}_1x1", weights.reshape(outputs, channels, *pixels)),
    ]
    if bias is not None:
        reads.append(graph.add_constant(f"{gemm.input[2]}_1x1", bias.reshape(-1)))
    graph.remove(gemm)
    convolved = graph.fresh(f"{result}_1x1")
    graph.add_node("Conv", reads, [convolved], name, kernel_shape=pixels)
    graph.add_node("Flatten", [convolved], [result], f"{name}_flat", axis=1)
