"""Raw pixels as input: the cast, the mean subtraction and the scale move into the graph, and a quarter is copied.

What is rewritten is the network, which is at its precision already: every backend gets the same graph, the arithmetic
on pixels stays in FP32, and Q/DQ pairs stay behind it, with the ranges of the values that they were calibrated for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inferkit.data.pixels.preprocessing import Preprocessing
from inferkit.errors import UsageError
from inferkit.network.network import Network, TensorInfo


@dataclass(frozen=True, eq=False)
class Uint8Input:
    """What Caffe's data layers do to pixels: (pixel - mean) * scale.

    `mean`: one value, one per channel ([C] or [C, 1, 1]), or a mean image [C, H, W], in the channel order of the
    network's input; None subtracts nothing. `input`: the input to change, by default the only one. `normalization_of`
    makes one of an inferkit.data.Preprocessing, whose `pixels_only()` is what the images get then.
    """

    mean: Any = None
    scale: float = 1.0
    input: str | None = None

    def normalize(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the network makes of pixels [N, C, H, W]: float32 of the same shape, bit for bit as Preprocessing."""
        mean = _mean(self.mean, pixels.shape[1:], self.input or "pixels")
        values = pixels.astype(np.float32)
        if mean is not None:
            values -= mean
        return values if self.scale == 1.0 else values * np.float32(self.scale)


def normalization_of(preprocessing: Preprocessing, info: TensorInfo) -> Uint8Input:
    """The mean and the scale of `preprocessing` as what becomes of the pixels that input `info` [N, C, H, W] takes.

    A mean image is cropped as the images are. DataError where the mean does not fit the preprocessing or the channels.
    """
    if preprocessing.mean is not None:
        channels, height, width = preprocessing.mean.shape
        return Uint8Input(*preprocessing.normalization((channels, height, width)), info.name)
    if not preprocessing.mean_values:
        return Uint8Input(None, preprocessing.scale, info.name)
    pixel = Preprocessing(mean_values=preprocessing.mean_values, scale=preprocessing.scale)
    return Uint8Input(*pixel.normalization((info.shape[1] or len(preprocessing.mean_values), 1, 1)), info.name)


def with_uint8_input(network: Network, wanted: Uint8Input) -> Network:
    """`network` with a uint8 input of the same name and shape; `network` itself is untouched.

    Works at every precision: what follows the input gets float32 as before. UsageError where the input is not
    float32 or the mean does not fit it.
    """
    info = _input(network, wanted.input)
    if info.dtype != "float32":
        raise UsageError(
            f"input {info.name!r} of {network.name} is {info.dtype}: only a float32 input can become uint8"
        )
    mean = _mean(wanted.mean, info.shape[1:], info.name)
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    graph = model.graph
    taken = _names(graph)
    pixels = _fresh(f"{info.name}_pixels", taken)
    nodes = [
        helper.make_node("Cast", [info.name], [pixels], name=_fresh(f"{info.name}_cast", taken), to=TensorProto.FLOAT)
    ]
    last = pixels
    if mean is not None and np.any(mean):
        constant, result = _fresh(f"{info.name}_mean", taken), _fresh(f"{info.name}_centred", taken)
        graph.initializer.append(numpy_helper.from_array(mean, constant))
        nodes.append(helper.make_node("Sub", [last, constant], [result], name=f"{result}_sub"))
        last = result
    if wanted.scale != 1.0:
        constant, result = _fresh(f"{info.name}_scale", taken), _fresh(f"{info.name}_scaled", taken)
        graph.initializer.append(numpy_helper.from_array(np.float32(wanted.scale).reshape(()), constant))
        nodes.append(helper.make_node("Mul", [last, constant], [result], name=f"{result}_mul"))
        last = result
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == info.name:
                node.input[index] = last
    for value in graph.input:
        if value.name == info.name:
            value.type.tensor_type.elem_type = TensorProto.UINT8
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    return network.with_model(model)


def _input(network: Network, name: str | None) -> TensorInfo:
    if name is None and len(network.inputs) == 1:
        return network.inputs[0]
    for info in network.inputs:
        if info.name == name:
            return info
    names = ", ".join(info.name for info in network.inputs)
    raise UsageError(f"say which input of {network.name} becomes uint8 (it has {names})")


def _mean(mean: Any, image: tuple[int | None, ...], name: str) -> NDArray[np.float32] | None:
    """As [1, 1, 1, 1], [1, C, 1, 1] or [1, C, H, W], for images of this shape."""
    if mean is None:
        return None
    array = np.asarray(mean, dtype=np.float32)
    shape = tuple(dim or 0 for dim in image)
    if array.ndim == len(shape) + 1 and len(array) == 1:
        array = array[0]
    if array.ndim < len(shape):
        array = array.reshape(array.shape + (1,) * (len(shape) - array.ndim))
    if array.ndim == len(shape) and all(have in (1, want) for have, want in zip(array.shape, shape, strict=True)):
        return array[np.newaxis]
    raise UsageError(
        f"the mean has shape {list(np.shape(mean))}, the input {name!r} [N, {', '.join(map(str, shape))}]: "
        "give one value per channel, or a mean image of the input's size"
    )


def _names(graph: onnx.GraphProto) -> set[str]:
    names = {tensor.name for tensor in graph.initializer} | {value.name for value in (*graph.input, *graph.output)}
    for node in graph.node:
        names |= {node.name, *node.input, *node.output}
    return names


def _fresh(name: str, taken: set[str]) -> str:
    """`name`, numbered if it is taken already; taken from now on."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate
