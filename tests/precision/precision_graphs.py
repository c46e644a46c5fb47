"""Small ONNX models to rewrite: written by hand, or drawn by hypothesis from the forms that exporters write."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inferkit.network.network import Network

SIZE = 8  # height and width of the drawn models' inputs


class ModelBuilder:
    """Adds nodes one after another, with seeded weights; remembers the shape [C, H, W] (or [C]) of the last tensor."""

    def __init__(self, channels: int = 4, size: int = SIZE, seed: int = 0, opset: int = 17) -> None:
        self.random = np.random.default_rng(seed)
        self.opset = opset
        self.shape: tuple[int, ...] = (channels, size, size)
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", channels, size, size])
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.top = "x"
        self.tops: list[tuple[str, tuple[int, ...]]] = []  # tensors of 3 axes, for later concatenations and additions

    def weights(self, *shape: int, scale: float = 0.3) -> str:
        return self.constant(self.random.standard_normal(shape) * scale)

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def add(self, op_type: str, *inputs: str, shape: tuple[int, ...] | None = None, **attributes: Any) -> str:
        """A node that reads the last tensor, then `inputs`; its output is the last tensor from now on."""
        return self.node(op_type, [self.top, *inputs], shape, **attributes)

    def node(self, op_type: str, inputs: list[str], shape: tuple[int, ...] | None = None, **attributes: Any) -> str:
        count = len(self.nodes)
        self.top = f"t{count}"
        self.nodes.append(helper.make_node(op_type, inputs, [self.top], name=f"{op_type}{count}", **attributes))
        self.shape = self.shape if shape is None else shape
        if len(self.shape) == 3:
            self.tops.append((self.top, self.shape))
        return self.top

    def conv(self, outputs: int, kernel: int = 3, *, group: int = 1, bias: bool = True, stride: int = 1) -> str:
        channels, height, width = self.shape
        inputs = [self.weights(outputs, channels // group, kernel, kernel)]
        inputs += [self.weights(outputs)] if bias else []
        pad = kernel // 2
        shape = (outputs, *((size + 2 * pad - kernel) // stride + 1 for size in (height, width)))
        return self.add("Conv", *inputs, shape=shape, group=group, pads=[pad] * 4, strides=[stride] * 2)

    def deconv(self, outputs: int, *, group: int = 1, bias: bool = True) -> str:
        channels, height, width = self.shape
        inputs = [self.weights(channels, outputs // group, 3, 3)] + ([self.weights(outputs)] if bias else [])
        return self.add("ConvTranspose", *inputs, shape=(outputs, height, width), group=group, pads=[1] * 4)

    def batch_norm(self) -> str:
        channels = self.shape[0]
        parameters = [self.weights(channels, scale=1.0) for _ in range(3)]
        return self.add("BatchNormalization", *parameters, self.constant(self.random.uniform(0.1, 3.0, channels)))

    def per_channel(self, op_type: str, *, left: bool = True) -> str:
        values = self.random.uniform(0.3, 2.0, (self.shape[0], *([1] * (len(self.shape) - 1))))
        constant = self.constant(values * self.random.choice([-1, 1], values.shape))
        return self.node(op_type, [self.top, constant] if left else [constant, self.top])

    def residual(self) -> str:
        skip = self.top
        self.conv(self.shape[0])
        self.add("Add", skip)
        return self.add("Relu")

    def flatten(self) -> str:
        return self.add("Flatten", shape=(int(np.prod(self.shape)),))

    def gemm(self, outputs: int, *, transposed: bool = False, **attributes: Any) -> str:
        if len(self.shape) > 1:
            self.flatten()
        inputs = self.shape[0]
        shape = (outputs, inputs) if transposed else (inputs, outputs)
        names = (self.weights(*shape, scale=1 / np.sqrt(inputs)), self.weights(outputs))
        return self.add("Gemm", *names, shape=(outputs,), transB=int(transposed), **attributes)

    def matmul_add(self, outputs: int) -> str:
        if len(self.shape) > 1:
            self.flatten()
        self.add("MatMul", self.weights(self.shape[0], outputs, scale=1 / np.sqrt(self.shape[0])), shape=(outputs,))
        return self.add("Add", self.weights(outputs))

    def model(self, *outputs: str) -> onnx.ModelProto:
        """The model, with the last tensor (or `outputs`) as its output; checked."""
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs or (self.top,)]
        graph = helper.make_graph(self.nodes, "test", [self.input], values, self.initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        model = onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opsets, ir_version=8))
        onnx.checker.check_model(model, full_check=True)
        return model

    def network(self, *outputs: str) -> Network:
        return Network.from_model(self.model(*outputs), "test")


_STEPS = (
    *("conv", "conv_no_bias", "conv_group", "depthwise", "deconv", "deconv_group", "batch_norm", "mul", "add", "sub"),
    *("sub_from", "div", "relu", "sigmoid", "max_pool", "dropout", "identity", "concat", "residual", "shared_conv"),
)


@st.composite
def models(draw: st.DrawFn, *, channels: int = 4) -> onnx.ModelProto:
    """A random image classifier of a few layers, normalization and affine steps anywhere in it."""
    build = ModelBuilder(channels, seed=draw(st.integers(0, 2**32 - 1)), opset=draw(st.sampled_from((13, 17, 21))))
    shared: str | None = None
    for step in draw(st.lists(st.sampled_from(_STEPS), min_size=1, max_size=8)):
        match step:
            case "conv" | "conv_no_bias":
                build.conv(draw(st.sampled_from((4, 8))), draw(st.sampled_from((1, 3))), bias=step == "conv")
            case "conv_group":
                build.conv(build.shape[0], group=2)
            case "depthwise":
                build.conv(build.shape[0], group=build.shape[0], bias=draw(st.booleans()))
            case "deconv" | "deconv_group":
                build.deconv(4, group=2 if step == "deconv_group" else 1, bias=draw(st.booleans()))
            case "batch_norm":
                build.batch_norm()
            case "mul" | "add" | "sub" | "div":
                build.per_channel(step.capitalize())
            case "sub_from":
                build.per_channel("Sub", left=False)
            case "relu" | "sigmoid" | "identity" | "dropout":
                build.add(step.capitalize())
            case "max_pool":
                build.add("MaxPool", kernel_shape=[3, 3], pads=[1] * 4)
            case "residual":
                build.residual()
            case "concat":
                joined, shape = draw(st.sampled_from(build.tops)) if build.tops else ("x", build.shape)
                build.add("Concat", joined, axis=1, shape=(build.shape[0] + shape[0], *build.shape[1:]))
                build.conv(channels, 1)  # back to a number of channels that groups divide
            case "shared_conv" if build.shape[0] == channels:
                shared = shared or build.weights(channels, channels, 1, 1)
                build.add("Conv", shared)
    match draw(st.sampled_from(("gemm", "gemm_transposed", "gemm_alpha", "matmul_add", "pool"))):
        case "gemm":
            build.gemm(5)
        case "gemm_transposed":
            build.gemm(5, transposed=True)
        case "gemm_alpha":
            build.gemm(5, alpha=0.5, beta=2.0)
        case "matmul_add":
            build.matmul_add(5)
        case "pool":
            build.add("GlobalAveragePool", shape=(build.shape[0], 1, 1))
    if draw(st.booleans()):
        build.add("Softmax", axis=1)
    return build.model()


def decomposed_mvn(build: ModelBuilder) -> None:
    """MVN in single steps: x - mean, divided by the root of the mean square plus epsilon."""
    source = build.top
    mean = build.add("ReduceMean", axes=[2, 3])
    centred = build.node("Sub", [source, mean])
    build.node("Mul", [centred, centred])
    build.add("ReduceMean", axes=[2, 3])
    build.add("Add", build.constant(1e-9))
    deviation = build.add("Sqrt")
    build.node("Div", [centred, deviation])


def images(count: int = 4, channels: int = 4, size: int = SIZE, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, channels, size, size)).astype(np.float32)


def run(model: onnx.ModelProto, x: NDArray[Any], *, as_written: bool = False) -> NDArray[Any]:
    """The first output of a model in ONNX Runtime; `as_written` leaves out every optimization."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (name,) = [value.name for value in session.get_inputs()]
    return np.asarray(session.run(None, {name: x})[0])


def check(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, having passed onnx's checker with full shape inference."""
    onnx.checker.check_model(model, full_check=True)
    return model


def op_types(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]
