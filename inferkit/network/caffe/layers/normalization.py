"""Normalization layers: LRN, BatchNorm and MVN."""

from __future__ import annotations

import numpy as np

from inferkit.network.caffe.dims import Shape, learned, show, static
from inferkit.network.caffe.files.schema import LRNParameter
from inferkit.network.caffe.layer import BlobSpec, LayerContext, Tensor, constant_filler
from inferkit.network.caffe.layers.pooling import average


def lrn(layer: LayerContext) -> list[Tensor]:
    """Caffe's LRN: x / (k + alpha / n * sum of n squares)^beta, over channels or a neighbourhood (there k is 1)."""
    settings, bottom = layer.param.lrn_param, layer.bottom
    layer.check(len(bottom.shape) == 4, f"needs a blob of 4 axes, not {show(bottom.shape)}")
    size = settings.local_size
    layer.check(size % 2 == 1, f"local_size {size} is not odd")
    if settings.norm_region == LRNParameter.WITHIN_CHANNEL:
        mean = average(layer, layer.like("Mul", bottom, bottom), (size, size))
        return [_normalized(layer, bottom, mean, 1.0)]
    if layer.in_place:
        return [_lrn_over_itself(layer)]
    # What both ONNX Runtime (alpha, beta > 0) and TensorRT (k >= 1e-5, beta >= 0.01, size <= 15) take as one operator.
    if settings.alpha > 0 and settings.beta >= 0.01 and settings.k >= 1e-5 and size <= 15:
        return [layer.like("LRN", bottom, size=size, alpha=settings.alpha, beta=settings.beta, bias=settings.k)]
    return [_normalized(layer, bottom, _channel_mean(layer), settings.k)]


def _normalized(layer: LayerContext, bottom: Tensor, mean: Tensor, k: float) -> Tensor:
    """bottom * (k + alpha * mean)^-beta."""
    settings = layer.param.lrn_param
    scale = layer.shifted(layer.scaled(mean, settings.alpha), k)
    power = layer.like("Pow", scale, layer.scalar(-settings.beta, "beta"))
    return layer.like("Mul", bottom, power)


def _lrn_over_itself(layer: LayerContext) -> Tensor:
    """LRN in place: Caffe writes the powers over its input before it multiplies by the input, so it squares them."""
    settings = layer.param.lrn_param
    layer.notes.append(f"layer '{layer.name}' (LRN) works in place: as in Caffe its output is the squared normalizer")
    scale = layer.shifted(layer.scaled(_channel_mean(layer), settings.alpha), settings.k)
    return layer.like("Pow", scale, layer.scalar(-2 * settings.beta, "beta"))


def _channel_mean(layer: LayerContext) -> Tensor:
    """The mean of the squares of local_size neighbouring channels, zeros beyond the first and last counted."""
    bottom, size = layer.bottom, layer.param.lrn_param.local_size
    channels, rows, columns = (static(dim, "a channel or spatial axis") for dim in bottom.shape[1:])
    squares = layer.reshape(layer.like("Mul", bottom, bottom), (bottom.shape[0], 1, channels, rows * columns))
    return layer.reshape(average(layer, squares, (size, 1)), bottom.shape)


def batch_norm(layer: LayerContext) -> list[Tensor]:
    """Caffe's BatchNorm: (x - mean) / sqrt(variance + eps), with the stored statistics divided by their scale factor.

    A scale factor of 0 makes both statistics 0. With use_global_stats: false (and in TRAIN phase) the statistics are
    those of the whole batch at hand.
    """
    settings, bottom = layer.param.batch_norm_param, layer.bottom
    layer.check(len(bottom.shape) >= 2, f"needs a blob of at least 2 axes, not {show(bottom.shape)}")
    channels = learned(bottom.shape[1], "the channel axis")
    zero = constant_filler(0.0)
    mean, variance, factor = layer.blobs(BlobSpec((channels,), zero), BlobSpec((channels,), zero), BlobSpec((1,), zero))
    stored = settings.use_global_stats if settings.HasField("use_global_stats") else not layer.train
    if not stored:
        return [_batch_statistics(layer)]
    scale = np.float32(0) if factor[0] == 0 else np.float32(1) / factor[0]
    parameters = (
        layer.constant(np.ones(channels, np.float32), "scale"),
        layer.constant(np.zeros(channels, np.float32), "bias"),
        layer.constant(mean * scale, "mean"),
        layer.constant(variance * scale, "variance"),
    )
    return [layer.like("BatchNormalization", bottom, *parameters, epsilon=settings.eps)]


def _batch_statistics(layer: LayerContext) -> Tensor:
    bottom = layer.bottom
    reduced_axes = [axis for axis in range(len(bottom.shape)) if axis != 1]
    centred, variance = _centred(layer, bottom, reduced_axes)
    deviation = layer.like("Sqrt", layer.shifted(variance, layer.param.batch_norm_param.eps))
    return layer.like("Div", centred, deviation)


def mvn(layer: LayerContext) -> list[Tensor]:
    """Caffe's MVN: minus the mean, divided by (standard deviation + eps), per channel or per image; the top is 4-D."""
    settings = layer.param.mvn_param
    bottom = layer.reshape(layer.bottom, layer.legacy_shape("MVN"))
    centred, variance = _centred(layer, bottom, [1, 2, 3] if settings.across_channels else [2, 3])
    if not settings.normalize_variance:
        return [centred]
    deviation = layer.shifted(layer.like("Sqrt", variance), settings.eps)
    return [layer.like("Div", centred, deviation)]


def _centred(layer: LayerContext, tensor: Tensor, axes: list[int]) -> tuple[Tensor, Tensor]:
    """The tensor minus its mean over `axes`, and the mean of its square."""
    shape: Shape = tuple(1 if axis in axes else dim for axis, dim in enumerate(tensor.shape))
    over = layer.integers(axes, "axes")
    mean = layer.node("ReduceMean", tensor, over, shape=shape, keepdims=1)
    centred = layer.like("Sub", tensor, mean)
    variance = layer.node("ReduceMean", layer.like("Mul", centred, centred), over, shape=shape, keepdims=1)
    return centred, variance
