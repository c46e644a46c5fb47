"""Functions of each element alone: activations, Power, Exp, Log, Threshold, Dropout."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from inferkit.network.caffe.dims import concrete_shape, follows_batch, learned
from inferkit.network.caffe.layer import BlobSpec, LayerContext, Tensor, constant_filler
from inferkit.network.limit import check_shape


def operator(op: str) -> Callable[[LayerContext], list[Tensor]]:
    """The converter of a layer that is one ONNX operator without attributes."""

    def convert(layer: LayerContext) -> list[Tensor]:
        return [layer.like(op, layer.bottom)]

    return convert


def absolute(layer: LayerContext) -> list[Tensor]:
    """Caffe's AbsVal, which refuses to work in place."""
    layer.check(not layer.in_place, "does not work in place; give the top another name")
    return [layer.like("Abs", layer.bottom)]


def relu(layer: LayerContext) -> list[Tensor]:
    """max(x, 0) + slope * min(x, 0)."""
    slope = layer.param.relu_param.negative_slope
    return [layer.like("LeakyRelu", layer.bottom, alpha=slope) if slope else layer.like("Relu", layer.bottom)]


def prelu(layer: LayerContext) -> list[Tensor]:
    """ReLU with learned slopes, one per channel or one for all."""
    settings, shape = layer.param.prelu_param, layer.bottom.shape
    layer.check(len(shape) >= 2, "needs a blob of at least 2 axes")
    channels = learned(layer.legacy_shape("PReLU")[1], "the channel axis")
    filler = settings.filler if settings.HasField("filler") else constant_filler(0.25)
    (slope,) = layer.blobs(BlobSpec(() if settings.channel_shared else (channels,), filler))
    broadcast = slope.reshape((1,) * (len(shape) - 1) if settings.channel_shared else (-1,) + (1,) * (len(shape) - 2))
    return [layer.like("PRelu", layer.bottom, layer.constant(broadcast, "slope"))]


def elu(layer: LayerContext) -> list[Tensor]:
    """x above 0, alpha * (exp(x) - 1) below."""
    return [layer.like("Elu", layer.bottom, alpha=layer.param.elu_param.alpha)]


def swish(layer: LayerContext) -> list[Tensor]:
    """x * sigmoid(beta * x)."""
    gate = layer.like("Sigmoid", layer.scaled(layer.bottom, layer.param.swish_param.beta))
    return [layer.like("Mul", layer.bottom, gate)]


def clip(layer: LayerContext) -> list[Tensor]:
    """max(lower, min(x, upper)): the lower bound wins where it is the greater, which ONNX leaves open."""
    settings = layer.param.clip_param
    if settings.min > settings.max:
        return [_filled(layer, settings.min)]
    bounds = layer.scalar(settings.min, "min"), layer.scalar(settings.max, "max")
    return [layer.like("Clip", layer.bottom, *bounds)]


def threshold(layer: LayerContext) -> list[Tensor]:
    """1 where x is above the threshold, else 0."""
    limit = layer.scalar(layer.param.threshold_param.threshold, "threshold")
    above = layer.node("Greater", layer.bottom, limit, shape=layer.bottom.shape, dtype="bool")
    return [layer.cast(above, "float32")]


def dropout(layer: LayerContext) -> list[Tensor]:
    """Nothing in TEST phase."""
    layer.check(not layer.train, "is random in the TRAIN phase; import the net in the TEST phase")
    return [layer.bottom]


def exponential(layer: LayerContext) -> list[Tensor]:
    """base^(shift + scale * x), as Caffe computes it: exp(x * log(base) * scale) * base^shift."""
    settings = layer.param.exp_param
    log_base = _log_base(layer, settings.base)
    inner = np.float32(log_base) * np.float32(settings.scale)
    outer = math.exp(settings.shift) if settings.base == -1 else float(settings.base) ** settings.shift
    return [layer.scaled(layer.like("Exp", layer.scaled(layer.bottom, float(inner))), outer)]


def logarithm(layer: LayerContext) -> list[Tensor]:
    """log of (shift + scale * x) to the base."""
    settings = layer.param.log_param
    log_base = _log_base(layer, settings.base)
    layer.check(log_base != 0, "base 1 has no logarithm")
    argument = layer.shifted(layer.scaled(layer.bottom, settings.scale), settings.shift)
    return [layer.scaled(layer.like("Log", argument), float(np.float32(1) / np.float32(log_base)))]


def _log_base(layer: LayerContext, base: float) -> float:
    """The natural logarithm of a base; -1 stands for e."""
    if base == -1:
        return 1.0
    layer.check(base > 0, f"base {base} is not positive")
    return math.log(base)


def power(layer: LayerContext) -> list[Tensor]:
    """(shift + scale * x)^power; constant where scale or power is 0."""
    settings, bottom = layer.param.power_param, layer.bottom
    exponent = settings.power
    if np.float32(exponent) * np.float32(settings.scale) == 0:
        with np.errstate(all="ignore"):
            value = np.float32(1) if exponent == 0 else np.power(np.float32(settings.shift), np.float32(exponent))
        return [_filled(layer, float(value))]
    base = layer.shifted(layer.scaled(bottom, settings.scale), settings.shift)
    if exponent == 1:
        return [base]
    if exponent == 2:
        return [layer.like("Mul", base, base)]
    if exponent == 3:
        return [layer.like("Mul", layer.like("Mul", base, base), base)]
    if exponent == -1:
        return [layer.like("Reciprocal", base)]
    if exponent == 0.5:
        return [layer.like("Sqrt", base)]
    return [layer.like("Pow", base, layer.scalar(exponent, "exponent"))]


def _filled(layer: LayerContext, value: float) -> Tensor:
    """A tensor of the bottom's shape with one value everywhere."""
    shape = layer.bottom.shape
    if not follows_batch(shape):
        check_shape(concrete_shape(shape), f"layer {layer.name!r}")
        return layer.constant(np.full(concrete_shape(shape), value, np.float32), "value")
    sizes = layer.node("Shape", layer.bottom, shape=(len(shape),), dtype="int64")
    return layer.node("Expand", layer.scalar(value, "value"), sizes, shape=shape)
