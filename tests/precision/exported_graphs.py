"""Random ONNX classifiers in the forms that exporters write: PyTorch's, TensorFlow's, and those of older tools.

`exported(random)` draws one from any `random.Random`: operator sets 11 to 22, constants as initializers, as Constant
nodes or listed among the inputs, open and fixed batches, names with colons and slashes, nodes without any, and blocks
of the architectures that people quantize: residual, inverted bottleneck, squeeze-and-excitation, inception, dense,
shuffle, split, upsampling, attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
import onnx
from numpy.typing import NDArray

from tests.precision.exporter import Exporter


@dataclass(frozen=True)
class Exported:
    """A drawn model, what each of its inputs is fed ([count, ...] float32), and the blocks that it is made of."""

    model: onnx.ModelProto
    blocks: tuple[str, ...]
    fixed_batch: int | None

    def feeds(self, count: int = 4, seed: int = 1) -> dict[str, NDArray[np.float32]]:
        """Seeded inputs; `count` images, or as many as the model's batch is fixed at."""
        random = np.random.default_rng(seed)
        constants = {tensor.name for tensor in self.model.graph.initializer}
        shapes = {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:]
            for value in self.model.graph.input
            if value.name not in constants
        }
        count = self.fixed_batch or count
        return {n: random.standard_normal((count, *shape)).astype(np.float32) for n, shape in shapes.items()}


def exported(random: Random, blocks: int = 5) -> Exported:
    """Draw a model of up to `blocks` blocks, checked with full shape inference."""
    build = Exporter(random, _ACTIVATIONS)
    build.start()
    done = []
    for _ in range(random.randint(1, blocks)):
        block = random.choice(_IMAGE_BLOCKS)
        block(build)
        done.append(block.__name__)
    if random.random() < 0.3:
        build.tokens()
        for block in random.choices(_TOKEN_BLOCKS, k=random.randint(1, 2)):
            block(build)
            done.append(block.__name__)
        build.pooled_tokens()
    else:
        build.pooled_image()
    build.head()
    return Exported(build.model(), tuple(done), build.fixed_batch)


# Activations, in one node or in the many that exporters make of them


def relu(build: Exporter) -> str:
    return build.op("Relu")


def relu6(build: Exporter) -> str:
    return build.op("Clip", build.top, build.const(0.0), build.const(6.0))


def silu(build: Exporter) -> str:
    source = build.top
    return build.op("Mul", source, build.op("Sigmoid"))


def hard_swish(build: Exporter) -> str:
    source = build.top
    if build.opset >= 14 and build.random.random() < 0.3:
        return build.op("HardSwish")
    if build.random.random() < 0.5:
        return build.op("Mul", source, build.op("HardSigmoid", alpha=1 / 6, beta=0.5))
    build.op("Add", source, build.const(3.0))
    build.op("Clip", build.top, build.const(0.0), build.const(6.0))
    build.op("Mul", source, build.top)
    return build.op("Div", build.top, build.const(6.0))


def gelu(build: Exporter) -> str:
    source = build.top
    if build.opset >= 20 and build.random.random() < 0.5:
        return build.op("Gelu")
    build.op("Div", source, build.const(np.sqrt(2)))
    build.op("Erf")
    build.op("Add", build.top, build.const(1.0))
    build.op("Mul", source, build.top)
    return build.op("Mul", build.top, build.const(0.5))


def prelu(build: Exporter) -> str:
    slope = build.numbers.uniform(0.1, 0.5, (build.shape[0], *[1] * (len(build.shape) - 1)))
    return build.op("PRelu", build.top, build.const(slope if len(build.shape) == 3 else slope[:1].reshape(-1)))


def mish(build: Exporter) -> str:
    source = build.top
    build.op("Softplus")
    return build.op("Mul", source, build.op("Tanh"))


def elu(build: Exporter) -> str:
    return build.op("Elu", alpha=0.9)


def leaky(build: Exporter) -> str:
    return build.op("LeakyRelu", alpha=0.1)


_ACTIVATIONS = (relu, relu, relu, relu6, silu, hard_swish, gelu, prelu, mish, elu, leaky)

# Blocks over images [C, H, W]


def residual(build: Exporter) -> None:
    source, channels, stride = build.top, build.shape[0], build.random.choice((1, 1, 2))
    stride = stride if build.shape[1] >= 4 else 1
    start = build.shape
    build.conv_norm(channels, 3, stride)
    main = build.conv_norm(channels, act=False)
    shape = build.shape
    build.top, build.shape = source, start
    if stride > 1:
        build.conv_norm(channels, 1, stride, act=False)
    build.shape = shape
    build.op("Add", *((main, build.top) if build.random.random() < 0.5 else (build.top, main)))
    build.activation()


def before_activation(build: Exporter) -> None:
    """A residual block that begins with its normalization (no layer to fold it into)."""
    source = build.top
    build.norm()
    build.activation()
    build.conv(build.shape[0])
    build.op("Add", build.top, source)


def inverted_bottleneck(build: Exporter) -> None:
    source, channels = build.top, build.shape[0]
    build.conv_norm(channels * 2, 1)
    build.conv_norm(channels * 2, 3, group=channels * 2)
    if build.random.random() < 0.5:
        squeeze_excite(build)
    build.conv_norm(channels, 1, act=False)
    build.op("Add", source, build.top)


def squeeze_excite(build: Exporter) -> None:
    source, shape = build.top, build.shape
    channels = shape[0]
    if build.random.random() < 0.5:
        build.op("GlobalAveragePool", shape=(channels, 1, 1))
    else:
        build.over("ReduceMean", [2, 3], 18, shape=(channels, 1, 1), keepdims=1)
    build.conv(max(1, channels // 4), 1)
    relu(build)
    build.conv(channels, 1)
    gate = build.op("HardSigmoid", alpha=1 / 6, beta=0.5) if build.random.random() < 0.5 else build.op("Sigmoid")
    build.op("Mul", *((source, gate) if build.random.random() < 0.5 else (gate, source)), shape=shape)


def inception(build: Exporter) -> None:
    source, shape = build.top, build.shape
    branches = []
    for kernel in (1, 3):
        build.top, build.shape = source, shape
        branches.append(build.conv_norm(8, kernel))
    build.top, build.shape = source, shape
    build.op("MaxPool", kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
    branches.append(build.conv_norm(4, 1))
    build.op("AveragePool", source, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, count_include_pad=1)
    branches.append(build.top)
    build.op("Concat", *branches, axis=1, shape=(20 + shape[0], *shape[1:]))
    build.conv_norm(8, 1)


def dense(build: Exporter) -> None:
    for _ in range(2):
        source, channels = build.top, build.shape[0]
        build.norm()
        relu(build)
        build.conv(4)
        build.op("Concat", source, build.top, axis=1, shape=(channels + 4, *build.shape[1:]))
    build.conv(8, 1)


def shuffle(build: Exporter) -> None:
    channels, height, width = build.shape
    build.reshape(2, channels // 2, height, width)
    build.op("Transpose", perm=[0, 2, 1, 3, 4])
    build.reshape(channels, height, width)
    build.conv_norm(channels, 3, group=2)


def split(build: Exporter) -> None:
    channels, height, width = build.shape
    half = (channels // 2, height, width)
    if build.opset < 13:
        left = build.op("Split", outputs=2, axis=1, split=[channels // 2] * 2, shape=half)
    else:
        left = build.op("Split", build.top, build.ints(*[channels // 2] * 2), outputs=2, axis=1, shape=half)
    right = build.nodes[-1].output[1]
    build.top = right
    build.conv_norm(channels // 2)
    build.op("Concat", left, build.top, right, axis=1, shape=(channels // 2 * 3, height, width))
    build.conv_norm(channels, 1)


def sliced(build: Exporter) -> None:
    """The focus of YOLOv5: four strided slices, concatenated."""
    channels, height, width = build.shape
    if height % 2:
        return
    source, parts = build.top, []
    for row in (0, 1):
        for column in (0, 1):
            starts, ends = build.ints(row, column), build.ints(2**31, 2**31)
            parts.append(build.op("Slice", source, starts, ends, build.ints(2, 3), build.ints(2, 2)))
    build.op("Concat", *parts, axis=1, shape=(channels * 4, height // 2, width // 2))
    build.conv_norm(channels)


def upsample(build: Exporter) -> None:
    channels, height, width = build.shape
    if height > 8:
        build.op("MaxPool", kernel_shape=[2, 2], strides=[2, 2], shape=(channels, height // 2, width // 2))
        return
    shape = (channels, height * 2, width * 2)
    if build.random.random() < 0.5:
        scales = build.const([1, 1, 2, 2])
        build.op("Resize", build.top, build.const(np.empty(0)), scales, shape=shape, mode="nearest",
                 coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    else:
        weights = build.weights(channels, channels, 2, 2)
        build.op("ConvTranspose", build.top, weights, shape=shape, strides=[2, 2], kernel_shape=[2, 2])
        build.norm()
    build.op("MaxPool", kernel_shape=[2, 2], strides=[2, 2], shape=(channels, height, width))


def padded(build: Exporter) -> None:
    """Padding as a node of its own, as TensorFlow's SAME with a stride needs it."""
    channels, height, width = build.shape
    build.op("Pad", build.top, build.ints(0, 0, 0, 0, 0, 0, 1, 1), shape=(channels, height + 1, width + 1))
    weights = build.weights(channels, channels, 2, 2)
    build.op("Conv", build.top, weights, kernel_shape=[2, 2], strides=[1, 1], shape=(channels, height, width))
    build.activation()


def dilated(build: Exporter) -> None:
    build.conv_norm(build.shape[0], 3, dilation=2)


def local_response(build: Exporter) -> None:
    build.conv_norm(8, 1)
    build.op("LRN", size=5, alpha=1e-2, beta=0.75, bias=1.0)


def pooled(build: Exporter) -> None:
    channels, height, width = build.shape
    if height < 4:
        return
    size = (height // 2, width // 2)
    op_type = build.random.choice(("MaxPool", "AveragePool"))
    build.op(op_type, kernel_shape=[2, 2], strides=[2, 2], shape=(channels, *size))
    build.conv_norm(channels)


def channels_last(build: Exporter) -> None:
    """A layer norm over channels and an inner product at every position (ConvNeXt)."""
    source, (channels, height, width) = build.top, build.shape
    build.conv(channels, 3, group=channels)
    build.op("Transpose", perm=[0, 2, 3, 1], shape=(height, width, channels))
    layer_norm(build)
    build.linear(channels * 2)
    gelu(build)
    build.linear(channels)
    build.op("Mul", build.top, build.weights(channels))
    build.op("Transpose", perm=[0, 3, 1, 2], shape=(channels, height, width))
    build.op("Add", source, build.top)


_IMAGE_BLOCKS = (
    *(residual, before_activation, inverted_bottleneck, squeeze_excite, inception, dense, shuffle, split, sliced),
    *(upsample, padded, dilated, local_response, pooled, channels_last),
)

# Blocks over tokens [T, D]


def layer_norm(build: Exporter) -> None:
    width, rank = build.shape[-1], len(build.shape) + 1
    gamma, beta = build.const(build.numbers.uniform(0.5, 1.5, width)), build.weights(width)
    if build.opset >= 17 and build.random.random() < 0.5:
        build.op("LayerNormalization", build.top, gamma, beta, axis=-1, epsilon=1e-5)
        return
    source, shape = build.top, build.shape
    centred = build.op("Sub", source, build.over("ReduceMean", [rank - 1], 18, shape=shape, keepdims=1))
    if build.random.random() < 0.5:
        build.op("Pow", centred, build.const(2.0))
    else:
        build.op("Mul", centred, centred)
    build.over("ReduceMean", [-1] if build.opset >= 18 else [rank - 1], 18, shape=shape, keepdims=1)
    build.op("Add", build.top, build.const(1e-6))
    build.op("Div", centred, build.op("Sqrt"))
    build.op("Mul", build.top, gamma)
    build.op("Add", build.top, beta)


def attention(build: Exporter) -> None:
    source, (count, width) = build.top, build.shape
    heads, size = 2, width // 2
    layer_norm(build)
    normal, parts = build.top, []
    for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        build.top, build.shape = normal, (count, width)
        build.linear(width)
        build.reshape(count, heads, size)
        parts.append(build.op("Transpose", perm=order))
    query, key, value = parts
    build.op("MatMul", query, key)
    if build.random.random() < 0.5:
        build.op("Mul", build.top, build.const(1 / np.sqrt(size)))
    else:
        build.op("Div", build.top, build.const(np.sqrt(size)))
    build.op("Softmax", axis=3)
    build.op("MatMul", build.top, value)
    build.op("Transpose", perm=[0, 2, 1, 3])
    build.reshape(count, width)
    build.linear(width)
    build.op("Add", source, build.top)


def feed_forward(build: Exporter) -> None:
    source, width = build.top, build.shape[-1]
    layer_norm(build)
    build.linear(width * 2)
    gelu(build)
    build.linear(width)
    build.op("Add", build.top, source)


_TOKEN_BLOCKS = (attention, feed_forward)
