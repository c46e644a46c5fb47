"""What an ONNX file was brought to already: half weights, or Q/DQ pairs, of another tool or of this one."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def stated_precision(model: onnx.ModelProto) -> str:
    """int8 or fp8 where activations are quantized, fp16 or bf16 where most weights are of that type, else fp32."""
    from onnx import TensorProto

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants:
            zero = constants.get(node.input[2]) if len(node.input) > 2 else None
            stated = next((entry.i for entry in node.attribute if entry.name == "output_dtype"), 0)
            kind = zero.data_type if zero is not None else stated
            return "fp8" if kind in (TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2) else "int8"
    sizes: Counter[int] = Counter()
    for tensor in constants.values():
        sizes[tensor.data_type] += math.prod(tensor.dims)
    names = {TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}
    kind, _ = max(((kind, sizes[kind]) for kind in (TensorProto.FLOAT, *names)), key=lambda pair: pair[1])
    return names.get(kind, "fp32")
