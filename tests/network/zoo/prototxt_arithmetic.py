"""Parameters and multiply-accumulates of a prototxt, computed from its text alone by Caffe's shape rules.

Apart from the zoo's builder on purpose: it is what the builder's figures are held against.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, floor, prod

from google.protobuf import text_format

from inferkit.network.caffe.files import schema


@dataclass
class Figures:
    """Learned numbers, multiply-accumulates for one image, and the shape of every blob without its batch."""

    parameters: int = 0
    macs: int = 0
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)


def figures(prototxt: str) -> Figures:
    """Walk the layers in order."""
    net = text_format.Parse(prototxt, schema.NetParameter())
    result = Figures()
    for layer in net.layer:
        inputs = [result.shapes[bottom] for bottom in layer.bottom]
        (top,) = layer.top
        result.shapes[top] = _shape(layer, inputs)
        parameters, macs = _cost(layer, inputs, result.shapes[top])
        result.parameters += parameters
        result.macs += macs
    return result


def _shape(layer: schema.LayerParameter, inputs: list[tuple[int, ...]]) -> tuple[int, ...]:
    if layer.type == "Input":
        return tuple(layer.input_param.shape[0].dim)[1:]
    x = inputs[0]
    if layer.type == "Convolution":
        settings = layer.convolution_param
        kernel, pad = _sides(settings, "kernel"), _sides(settings, "pad")
        stride = settings.stride[0] if settings.stride else 1
        sides = (floor((s + 2 * p - k) / stride) + 1 for s, k, p in zip(x[1:], kernel, pad, strict=True))
        return (settings.num_output, *sides)
    if layer.type == "Pooling":
        pool = layer.pooling_param
        if pool.global_pooling:
            return (x[0], 1, 1)
        sides = []
        for side in x[1:]:
            windows = ceil((side + 2 * pool.pad - pool.kernel_size) / pool.stride) + 1
            starts_in_padding = pool.pad > 0 and (windows - 1) * pool.stride >= side + pool.pad
            sides.append(windows - starts_in_padding)
        return (x[0], *sides)
    if layer.type == "InnerProduct":
        return (layer.inner_product_param.num_output,)
    if layer.type == "Concat":
        return (sum(shape[0] for shape in inputs), *x[1:])
    return x


def _sides(settings: schema.ConvolutionParameter, field: str) -> tuple[int, int]:
    height, width = getattr(settings, f"{field}_h"), getattr(settings, f"{field}_w")
    if height or width:
        return height, width
    square = getattr(settings, "kernel_size" if field == "kernel" else field)
    return (square[0], square[0]) if square else (0, 0)


def _cost(layer: schema.LayerParameter, inputs: list[tuple[int, ...]], top: tuple[int, ...]) -> tuple[int, int]:
    if layer.type == "Convolution":
        settings = layer.convolution_param
        per_output = inputs[0][0] // settings.group * prod(_sides(settings, "kernel"))
        return top[0] * (per_output + settings.bias_term), prod(top) * per_output
    if layer.type == "InnerProduct":
        per_output = prod(inputs[0])
        return top[0] * (per_output + 1), top[0] * per_output
    if layer.type == "Scale":
        return 2 * top[0], 0
    return 0, 0
