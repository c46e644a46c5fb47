"""Convolution, Deconvolution and Im2col: N-dimensional, with groups, dilation and any channel axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inferkit.network.caffe.dims import Dim, Shape, learned, product, same_shape, show, static
from inferkit.network.caffe.layer import BlobSpec, LayerContext, Tensor, stated


@dataclass(frozen=True)
class _Window:
    """Kernel, stride, pad and dilation, one number per spatial axis; `axis` is the channel axis."""

    axis: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def extent(self) -> tuple[int, ...]:
        """What a dilated kernel spans."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def is_pointwise(self) -> bool:
        """Kernel 1, stride 1, no padding: Caffe multiplies such blobs where they lie."""
        return all((k, s, p) == (1, 1, 0) for k, s, p in zip(self.kernel, self.stride, self.pad, strict=True))


def convolution(layer: LayerContext) -> list[Tensor]:
    """Caffe's Convolution: every bottom through the same weights."""
    window, channels = _window(layer), _channels(layer)
    settings = layer.param.convolution_param
    weights = (settings.num_output, channels // settings.group, *window.kernel)
    size, ends = _output(layer, window)
    attributes: dict[str, Any] = {
        "kernel_shape": window.kernel or (1,),
        "strides": window.stride or (1,),
        "pads": (*window.pad, *ends) or (0, 0),
        "dilations": window.dilation or (1,),
        "group": settings.group,
    }
    return _apply(layer, window, "Conv", weights, size, attributes)


def deconvolution(layer: LayerContext) -> list[Tensor]:
    """Caffe's Deconvolution: the transpose of a convolution, weights as channels x outputs per group x kernel."""
    window, channels = _window(layer), _channels(layer)
    settings = layer.param.convolution_param
    weights = (channels, settings.num_output // settings.group, *window.kernel)
    size = []
    for axis, (length, extent) in enumerate(zip(_spatial(layer, window), window.extent, strict=True)):
        out = window.stride[axis] * (length - 1) + extent - 2 * window.pad[axis]
        layer.check(out > 0, f"the output would have size {out} along spatial axis {axis}")
        size.append(out)
    attributes: dict[str, Any] = {
        "kernel_shape": window.kernel or (1,),
        "strides": window.stride or (1,),
        "pads": window.pad * 2 or (0, 0),
        "dilations": window.dilation or (1,),
        "group": settings.group,
    }
    return _apply(layer, window, "ConvTranspose", weights, size, attributes)


def im2col(layer: LayerContext) -> list[Tensor]:
    """Caffe's Im2col: each kernel tap of each channel becomes a channel; a convolution with unit kernels does it."""
    window = _window(layer)
    layer.check(len(window.kernel) >= 1, "needs at least one spatial axis")
    layer.check(
        not layer.in_place, "in place, Caffe would overwrite its input while reading it; give the top another name"
    )
    lead, channels, spatial = (
        layer.bottom.shape[: window.axis],
        layer.bottom.shape[window.axis],
        _spatial(layer, window),
    )
    taps = int(np.prod(window.kernel))
    size, ends = _output(layer, window)
    planes: Dim = product((*lead, channels))
    kernels = np.eye(taps, dtype=np.float32).reshape(taps, 1, *window.kernel)
    result = layer.node(
        "Conv",
        layer.reshape(layer.bottom, (planes, 1, *spatial)),
        layer.constant(kernels, "taps"),
        shape=(planes, taps, *size),
        kernel_shape=window.kernel,
        strides=window.stride,
        pads=(*window.pad, *ends),
        dilations=window.dilation,
    )
    return [layer.reshape(result, (*lead, product((channels, taps)), *size))]


def _output(layer: LayerContext, window: _Window) -> tuple[list[int], list[int]]:
    """Output size and end padding per spatial axis.

    C++ divides towards zero: a kernel that exceeds the padded input by less than a stride still gives one output, and
    its window reads zeros beyond the end.
    """
    size, ends = [], []
    for axis, (length, extent) in enumerate(zip(_spatial(layer, window), window.extent, strict=True)):
        stride, pad = window.stride[axis], window.pad[axis]
        out = int((length + 2 * pad - extent) / stride) + 1
        layer.check(
            out > 0, f"spatial axis {axis} would have size {out}: the kernel spans {extent}, the input {length}"
        )
        size.append(out)
        ends.append(max(pad, (out - 1) * stride + extent - length - pad))
    return size, ends


def _apply(
    layer: LayerContext,
    window: _Window,
    op: str,
    weight_shape: tuple[int, ...],
    size: Sequence[int],
    attributes: dict[str, Any],
) -> list[Tensor]:
    """One node per bottom. A blob without spatial axes is convolved as if it had one of size 1."""
    settings = layer.param.convolution_param
    layer.check(layer.top_count == len(layer.bottoms), "needs as many tops as bottoms")
    for bottom in layer.bottoms[1:]:
        same = same_shape(bottom.shape, layer.bottom.shape)
        layer.check(same, f"bottoms differ in shape: {show(layer.bottom.shape)} and {show(bottom.shape)}")
    if layer.in_place:
        result_shape = (*layer.bottom.shape[: window.axis], settings.num_output, *size)
        layer.check(
            result_shape == layer.bottom.shape and not window.is_pointwise,
            "in place, Caffe would overwrite its input while reading it; give the top another name",
        )
    specs = [BlobSpec(weight_shape, stated(settings, "weight_filler"))]
    if settings.bias_term:
        specs.append(BlobSpec((settings.num_output,), settings.bias_filler))
    blobs = layer.blobs(*specs)
    if not window.kernel:
        blobs[0] = blobs[0].reshape(*blobs[0].shape, 1)
    parameters = [layer.constant(blob, name) for blob, name in zip(blobs, ("weight", "bias"), strict=False)]
    tops = []
    for bottom in layer.bottoms:
        folded = _fold(layer, bottom, window)
        shape: Shape = (folded.shape[0], settings.num_output, *(size or (1,)))
        result = layer.node(op, folded, *parameters, shape=shape, **attributes)
        tops.append(layer.reshape(result, (*bottom.shape[: window.axis], settings.num_output, *size)))
    return tops


def _fold(layer: LayerContext, bottom: Tensor, window: _Window) -> Tensor:
    """The bottom as batch x channels x spatial axes, at least one of these."""
    channels_and_space = bottom.shape[window.axis :]
    count: Dim = product(bottom.shape[: window.axis])
    return layer.reshape(bottom, (count, *channels_and_space, *((1,) if len(channels_and_space) == 1 else ())))


def _spatial(layer: LayerContext, window: _Window) -> list[int]:
    return [static(dim, "a spatial axis") for dim in layer.bottom.shape[window.axis + 1 :]]


def _channels(layer: LayerContext) -> int:
    """The input channels, with Caffe's checks of channels, outputs and groups."""
    settings = layer.param.convolution_param
    channels = learned(layer.bottom.shape[layer.axis(settings.axis)], "the channel axis")
    outputs, group = settings.num_output, settings.group
    layer.check(outputs > 0, "num_output must be positive")
    layer.check(group > 0, "group must be positive")
    layer.check(channels % group == 0, f"{channels} input channels are not a multiple of group {group}")
    layer.check(outputs % group == 0, f"num_output {outputs} is not a multiple of group {group}")
    return channels


def _window(layer: LayerContext) -> _Window:
    settings = layer.param.convolution_param
    axis = layer.axis(settings.axis)
    count = len(layer.bottom.shape) - axis - 1
    kernel = _numbers(layer, "kernel", list(settings.kernel_size), count)
    if kernel is None:
        layer.refuse("kernel_size must be given once, or once per spatial axis")
    layer.check(all(size > 0 for size in kernel), "kernel sizes must be positive")
    stride = _numbers(layer, "stride", list(settings.stride), count) or (1,) * count
    layer.check(all(step > 0 for step in stride), "strides must be positive")
    pad = _numbers(layer, "pad", list(settings.pad), count) or (0,) * count
    dilation = _numbers(layer, "dilation", list(settings.dilation), count) or (1,) * count
    layer.check(all(step > 0 for step in dilation), "dilations must be positive")
    return _Window(axis, kernel, stride, pad, dilation)


def _numbers(layer: LayerContext, name: str, values: list[int], count: int) -> tuple[int, ...] | None:
    """Parameter `name` per spatial axis from the repeated field or its _h and _w forms; None where it is not given."""
    settings = layer.param.convolution_param
    if name != "dilation" and (settings.HasField(f"{name}_h") or settings.HasField(f"{name}_w")):
        layer.check(count == 2, f"{name}_h and {name}_w are for two spatial axes; the bottom has {count}")
        field = "kernel_size" if name == "kernel" else name
        layer.check(not values, f"{field} excludes {name}_h and {name}_w; give one of the two forms")
        return getattr(settings, f"{name}_h"), getattr(settings, f"{name}_w")
    if not values:
        return () if count == 0 and name == "kernel" else None
    layer.check(
        len(values) in (1, count),
        f"{name} must be given once, or once per spatial axis ({count}); it is given {len(values)} times",
    )
    return tuple(values) if len(values) == count else tuple(values) * count
