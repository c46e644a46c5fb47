"""One random exporter of ONNX models: the operator set, the names and the forms that it writes everything in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSETS = (11, 12, 13, 14, 15, 17, 18, 20, 21, 22)
_IR = {11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 17: 8, 18: 8, 20: 9, 21: 10, 22: 10}
_NAMINGS: dict[str, Callable[[int, str], str]] = {
    "plain": lambda count, op: f"t{count}",
    "torch": lambda count, op: f"/features/features.{count}/{op}_output_0",
    "old torch": lambda count, op: str(100 + count),
    "tensorflow": lambda count, op: f"StatefulPartitionedCall/model: {count}/{op}:0",
    "collisions": lambda count, op: ("x_scale", "x_quantized", "x_fp16", "x_dequantized")[count % 4] + "_" * count,
}
_INPUTS = ("input", "input.1", "serving_default_data:0", "x: data", "données")


class Exporter:
    """Appends nodes after `top`, whose shape without the batch is `shape`: [C, H, W], [T, D] or [D]."""

    def __init__(self, random: Random, activations: Sequence[Callable[[Exporter], str]]) -> None:
        self.random, self.activations = random, activations
        self.numbers = np.random.default_rng(random.getrandbits(32))
        self.opset = random.choice(OPSETS)
        self.naming = _NAMINGS[random.choice(sorted(_NAMINGS))]
        self.constants_are = random.choice(("initializers", "nodes", "inputs"))
        self.named_nodes = random.random() < 0.7
        self.fixed_batch = random.choice((None, None, None, 1, 3))
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[tuple[str, tuple[int, ...]]] = []
        self.top, self.shape = "", (0,)
        self._count = 0

    # What every block is made of

    def op(
        self, op_type: str, *inputs: str, shape: tuple[int, ...] | None = None, outputs: int = 1, **attrs: Any
    ) -> str:
        """A node that reads `inputs` (default: the last tensor) and is the last from now on."""
        names = [self.naming(self._count + index, op_type) for index in range(outputs)]
        self._count += outputs
        name = f"{op_type}_{self._count}" if self.named_nodes else ""
        self.nodes.append(helper.make_node(op_type, inputs or (self.top,), names, name=name, **attrs))
        self.top = names[0]
        self.shape = self.shape if shape is None else shape
        return self.top

    def const(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"onnx::const_{len(self.initializers) + len(self.nodes)}"
        tensor = numpy_helper.from_array(np.asarray(values, dtype=dtype), name)
        if self.constants_are == "nodes":
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.initializers.append(tensor)
        return name

    def ints(self, *values: int) -> str:
        return self.const(values, np.int64)

    def weights(self, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 4
        return self.const(self.numbers.standard_normal(shape) * np.sqrt(1.5 / fan_in))

    def over(self, op_type: str, axes: list[int], since: int, *, shape: tuple[int, ...], **attrs: Any) -> str:
        """An operator whose axes are an attribute before operator set `since`, and an input from it on."""
        if self.opset < since:
            return self.op(op_type, axes=axes, shape=shape, **attrs)
        return self.op(op_type, self.top, self.ints(*axes), shape=shape, **attrs)

    def batch(self) -> str:
        """The batch as exporters compute it: an int64 tensor [1]."""
        top, shape = self.top, self.shape
        self.op("Shape")
        if self.random.random() < 0.5:
            self.op("Gather", self.top, self.const(0, np.int64), axis=0)
            size = self.over("Unsqueeze", [0], 13, shape=())
        else:
            size = self.op("Slice", self.top, self.ints(0), self.ints(1), self.ints(0))
        self.top, self.shape = top, shape
        return size

    def reshape(self, *shape: int) -> str:
        """To [batch, *shape], with a constant shape or one that is put together from the batch at run time."""
        top = self.top
        if self.random.random() < 0.5:
            target = self.ints(self.random.choice((0, -1)), *shape)
        else:
            batch = self.batch()
            target = self.op("Concat", batch, self.ints(*shape), axis=0)
        return self.op("Reshape", top, target, shape=shape)

    def conv(self, outputs: int, kernel: int = 3, stride: int = 1, group: int = 1, dilation: int = 1) -> str:
        channels, height, width = self.shape
        pad = dilation * (kernel // 2)
        reads = [self.top, self.weights(outputs, channels // group, kernel, kernel)]
        bias = self.random.random() < 0.5
        reads += [self.weights(outputs)] if bias else []
        size = tuple((s + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for s in (height, width))
        self.op(
            "Conv",
            *reads,
            shape=(outputs, *size),
            group=group,
            strides=[stride] * 2,
            pads=[pad] * 4,
            dilations=[dilation] * 2,
            kernel_shape=[kernel] * 2,
        )
        return self.top

    def norm(self) -> str:
        channels = self.shape[0]
        gamma, variance = (self.const(self.numbers.uniform(0.5, 1.5, channels)) for _ in range(2))
        beta, mean = (self.const(self.numbers.standard_normal(channels) * 0.2) for _ in range(2))
        return self.op("BatchNormalization", self.top, gamma, beta, mean, variance, epsilon=1e-5)

    def activation(self) -> str:
        return str(self.random.choice(self.activations)(self))

    def conv_norm(self, *args: Any, act: bool = True, **kwargs: Any) -> str:
        self.conv(*args, **kwargs)
        if self.random.random() < 0.8:
            self.norm()
        return self.activation() if act else self.top

    def linear(self, outputs: int, gain: float = 1.0) -> str:
        """An inner product along the last axis: Gemm of either form for vectors, MatMul and Add for anything."""
        inputs = self.shape[-1]
        form = self.random.choice(("gemm", "gemm_t", "matmul")) if len(self.shape) == 1 else "matmul"
        shape = (*self.shape[:-1], outputs)
        values = self.numbers.standard_normal((inputs, outputs)) * gain / np.sqrt(inputs)
        if form == "gemm":
            return self.op("Gemm", self.top, self.const(values), self.weights(outputs), shape=shape)
        if form == "gemm_t":
            return self.op("Gemm", self.top, self.const(values.T), self.weights(outputs), shape=shape, transB=1)
        product = self.op("MatMul", self.top, self.const(values), shape=shape)
        bias = self.weights(outputs)
        return self.op("Add", *((product, bias) if self.random.random() < 0.5 else (bias, product)))

    # Beginning and end

    def start(self) -> None:
        channels, size = self.random.choice((1, 3)), self.random.choice((8, 12))
        name = self.random.choice(_INPUTS)
        last = self.random.random() < 0.2  # channels last, as TensorFlow's exporters leave the input
        dims = [size, size, channels] if last else [channels, size, size]
        batch = self.fixed_batch or self.random.choice(("N", "batch_size", "unk__0", None))
        self.inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *dims])]
        self.top, self.shape = name, (channels, size, size)
        if last:
            self.op("Transpose", perm=[0, 3, 1, 2])
        if self.random.random() < 0.3:  # normalization inside the model
            self.op("Sub", self.top, self.const(self.numbers.uniform(0, 0.5, (1, channels, 1, 1))))
            self.op("Div", self.top, self.const(self.numbers.uniform(0.2, 0.3, (1, channels, 1, 1))))
        self.conv_norm(self.random.choice((8, 16)))
        if self.random.random() < 0.2:  # a second input, of the same batch
            dims = list(self.shape)
            self.inputs.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [batch, *dims]))
            self.op("Add", self.top, "extra")

    def tokens(self) -> None:
        channels, height, width = self.shape
        count = height * width
        self.reshape(channels, count)
        self.op("Transpose", perm=[0, 2, 1], shape=(count, channels))
        if self.random.random() < 0.5:  # a class token, expanded to the batch
            top, batch = self.top, self.batch()
            target = self.op("Concat", batch, self.ints(1, channels), axis=0)
            token = self.op("Expand", self.weights(1, 1, channels), target)
            self.op("Concat", token, top, axis=1, shape=(count + 1, channels))
        self.op("Add", self.top, self.weights(1, *self.shape))

    def pooled_tokens(self) -> None:
        channels = self.shape[-1]
        if self.random.random() < 0.5:
            self.op("Gather", self.top, self.const(0, np.int64), axis=1, shape=(channels,))
        else:
            self.over("ReduceMean", [1], 18, shape=(channels,), keepdims=0)

    def pooled_image(self) -> None:
        channels, height, width = self.shape
        match self.random.choice(("global", "reduce", "flatten", "reshape", "max")):
            case "reduce":
                self.over("ReduceMean", [2, 3], 18, shape=(channels,), keepdims=0)
            case "flatten":
                self.op("Flatten", axis=1, shape=(channels * height * width,))
            case "reshape":
                self.reshape(channels * height * width)
            case "global":
                self.op("GlobalAveragePool", shape=(channels, 1, 1))
                self.over("Squeeze", [2, 3], 13, shape=(channels,))
            case "max":
                self.op("GlobalMaxPool", shape=(channels, 1, 1))
                self.op("Flatten", axis=1, shape=(channels,))

    def head(self) -> None:
        if self.random.random() < 0.3:
            self.linear(16)
            self.activation()
            if self.random.random() < 0.5:
                self.dropout()
        if self.random.random() < 0.2:
            self.outputs.append((self.top, self.shape))
        self.linear(10, gain=0.1)  # scores of about 1: a softmax of larger ones makes much of their rounding
        if self.random.random() < 0.5:
            self.op("Softmax", axis=self.random.choice((1, -1)))
        self.outputs.append((self.top, self.shape))

    def dropout(self) -> str:
        return self.op("Dropout", ratio=0.5) if self.opset < 12 else self.op("Dropout", self.top, self.const(0.5))

    def model(self) -> onnx.ModelProto:
        batch = self.inputs[0].type.tensor_type.shape.dim[0]
        size = batch.dim_value if batch.HasField("dim_value") else batch.dim_param or None
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, *s]) for name, s in self.outputs]
        inputs = list(self.inputs)
        if self.constants_are == "inputs":
            inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.initializers]
        graph = helper.make_graph(self.nodes, "main_graph", inputs, values, self.initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR[self.opset], producer_name="pytorch")
        onnx.checker.check_model(model, full_check=True)
        return model
