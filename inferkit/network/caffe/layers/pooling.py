"""Pooling and spatial pyramid pooling: Caffe's window arithmetic becomes explicit padding, never ceil_mode.

Per axis a window covers [i * stride - pad, + kernel), cut at the input for MAX and for the sum of AVE. AVE divides by
the window cut at input + pad: padding counts, what lies beyond it does not. Operators divide by the whole kernel or by
the valid elements, so where neither is right a constant map of ratios corrects the average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inferkit.network.caffe.dims import Shape, product, show, static
from inferkit.network.caffe.files.schema import PoolingParameter, SPPParameter
from inferkit.network.caffe.layer import LayerContext, Tensor
from inferkit.network.limit import check_bytes

# What Caffe starts a maximum from; a window outside the input keeps it.
_LOWEST = float(np.finfo(np.float32).min)

_BYTES_PER_WINDOW = 32  # four arrays of int64


@dataclass(frozen=True)
class Span:
    """The windows along one axis."""

    length: int
    kernel: int
    stride: int
    pad: int
    count: int

    @property
    def end_pad(self) -> int:
        """Padding after the input that lets exactly `count` windows fit."""
        return max(0, (self.count - 1) * self.stride + self.kernel - self.length - self.pad)

    @property
    def inside(self) -> Span:
        """The windows that start inside the input: all, or all but the last where the stride exceeds the kernel."""
        outside = (self.count - 1) * self.stride - self.pad >= self.length
        return replace(self, count=self.count - 1) if outside else self

    def covered(self) -> np.ndarray:
        """How many input elements each window covers."""
        start = self._starts()
        return np.maximum(np.minimum(start + self.kernel, self.length) - np.maximum(start, 0), 0)

    def counted(self) -> np.ndarray:
        """What AVE divides by: the window cut at input + pad; zero or negative for a window beyond, as in Caffe."""
        start = self._starts()
        return np.minimum(start + self.kernel, self.length + self.pad) - start

    def _starts(self) -> np.ndarray:
        check_bytes(_BYTES_PER_WINDOW * self.count, f"pooling by {self.count:,} windows")
        return np.arange(self.count) * self.stride - self.pad


def pooling(layer: LayerContext) -> list[Tensor]:
    """Caffe's Pooling. STOCHASTIC in TEST phase is the mean weighted by the values (Caffe has it on GPUs only)."""
    settings = layer.param.pooling_param
    layer.check(len(layer.bottom.shape) == 4, f"needs a blob of 4 axes, not {show(layer.bottom.shape)}")
    layer.check(not layer.in_place, "in place, Caffe would overwrite its input; give the top another name")
    method = settings.pool
    most = 2 if method == PoolingParameter.MAX else 1
    layer.check(1 <= layer.top_count <= most, f"has at most {most} tops, but the prototxt names {layer.top_count}")
    rows, columns = _spans(layer)
    if method == PoolingParameter.MAX:
        return _maximum(layer, layer.bottom, rows, columns, mask=layer.top_count == 2)
    if method == PoolingParameter.AVE:
        return [_average(layer, layer.bottom, rows, columns)]
    layer.check(not layer.train, "STOCHASTIC pooling is random in the TRAIN phase")
    return [_weighted_mean(layer, layer.bottom, rows, columns)]


def pyramid(layer: LayerContext) -> list[Tensor]:
    """Caffe's SPP: poolings into 1, 2x2, 4x4, ... bins, flattened and concatenated (one level alone stays 4-D)."""
    settings = layer.param.spp_param
    layer.check(len(layer.bottom.shape) == 4, f"needs a blob of 4 axes, not {show(layer.bottom.shape)}")
    layer.check(settings.pyramid_height > 0, "pyramid_height must be positive")
    layer.check(not layer.in_place, "in place, Caffe would overwrite its input; give the top another name")
    levels = []
    for level in range(settings.pyramid_height):
        rows, columns = (_bins(layer, axis, 2**level) for axis in (2, 3))
        if settings.pool == SPPParameter.MAX:
            pooled = _maximum(layer, layer.bottom, rows, columns, mask=False)[0]
        elif settings.pool == SPPParameter.AVE:
            pooled = _average(layer, layer.bottom, rows, columns)
        else:
            layer.check(rows.pad == columns.pad == 0, "STOCHASTIC pooling cannot pad")
            pooled = _weighted_mean(layer, layer.bottom, rows, columns)
        levels.append(pooled)
    if len(levels) == 1:
        return levels
    flat = [layer.reshape(level, (level.shape[0], product(level.shape[1:]))) for level in levels]
    width = sum(static(tensor.shape[1], "a flattened level") for tensor in flat)
    return [layer.node("Concat", *flat, shape=(flat[0].shape[0], width), axis=1)]


def average(layer: LayerContext, tensor: Tensor, size: tuple[int, int]) -> Tensor:
    """The mean of neighbourhoods of this odd size in the last two axes, zeros outside the input counted, same shape."""
    rows, columns = (
        Span(static(tensor.shape[axis + 2], "a spatial axis"), size[axis], 1, size[axis] // 2, 0) for axis in (0, 1)
    )
    return _average(layer, tensor, replace(rows, count=rows.length), replace(columns, count=columns.length))


def _maximum(layer: LayerContext, tensor: Tensor, rows: Span, columns: Span, mask: bool) -> list[Tensor]:
    inner = rows.inside, columns.inside
    shape: Shape = (*tensor.shape[:2], inner[0].count, inner[1].count)
    if not mask:
        if _is_global(rows, columns):
            return [layer.node("GlobalMaxPool", tensor, shape=shape)]
        return [_extended(layer, layer.node("MaxPool", tensor, shape=shape, **_window(*inner)), rows, columns, _LOWEST)]
    pooled, where = layer.nodes("MaxPool", tensor, outputs=[(shape, "float32"), (shape, "int64")], **_window(*inner))
    plane = layer.constant(np.array(rows.length * columns.length, np.int64), "plane")
    index = layer.cast(layer.node("Mod", where, plane, shape=shape, dtype="int64"), "float32")
    return [_extended(layer, pooled, rows, columns, _LOWEST), _extended(layer, index, rows, columns, -1.0)]


def _average(layer: LayerContext, tensor: Tensor, rows: Span, columns: Span) -> Tensor:
    inner = rows.inside, columns.inside
    shape: Shape = (*tensor.shape[:2], inner[0].count, inner[1].count)
    if _is_global(rows, columns):
        return layer.node("GlobalAveragePool", tensor, shape=shape)
    divisor = np.outer(inner[0].counted(), inner[1].counted()).astype(np.float32)
    covered = np.outer(inner[0].covered(), inner[1].covered()).astype(np.float32)
    kernel_area = np.full_like(covered, rows.kernel * columns.kernel)
    window = _window(*inner)
    # Padding is counted only where it is the same all around: ONNX Runtime 1.21 to 1.24 mix up the axes' otherwise.
    counts = len(set(window["pads"])) == 1 and np.array_equal(divisor, kernel_area)
    pooled = layer.node(
        "AveragePool", tensor, shape=shape, count_include_pad=int(counts) if any(window["pads"]) else None, **window
    )
    divided = kernel_area if counts else covered
    if not np.array_equal(divided, divisor):
        ratio = divided / divisor
        for axis in (0, 1):  # where it is the same along an axis, one value says it
            first = ratio.take([0], axis)
            ratio = first if np.array_equal(np.broadcast_to(first, ratio.shape), ratio) else ratio
        pooled = layer.like("Mul", pooled, layer.constant(ratio[None, None], "ratio"))
    # A window outside the input sums nothing, and Caffe divides that by what may be nothing too.
    nothing = np.where(np.outer(rows.counted(), columns.counted()) == 0, np.nan, 0.0)
    return _extended(layer, pooled, rows, columns, nothing)


def _weighted_mean(layer: LayerContext, tensor: Tensor, rows: Span, columns: Span) -> Tensor:
    """sum(x * x) / sum(x) per window where that sum is positive, else 0."""
    inner = rows.inside, columns.inside
    shape: Shape = (*tensor.shape[:2], inner[0].count, inner[1].count)
    window = _window(*inner)  # both are divided by the same
    squares = layer.node("AveragePool", layer.like("Mul", tensor, tensor), shape=shape, **window)
    means = layer.node("AveragePool", tensor, shape=shape, **window)
    zero = layer.scalar(0.0, "zero")
    positive = layer.node("Greater", means, zero, shape=shape, dtype="bool")
    divisor = layer.node("Where", positive, means, layer.scalar(1.0, "one"), shape=shape)
    ratio = layer.node("Div", squares, divisor, shape=shape)
    return _extended(layer, layer.node("Where", positive, ratio, zero, shape=shape), rows, columns, 0.0)


def _extended(layer: LayerContext, pooled: Tensor, rows: Span, columns: Span, value: float | np.ndarray) -> Tensor:
    """The windows inside the input, plus `value` (one, or one per window) for those outside."""
    extra = rows.count - rows.inside.count, columns.count - columns.inside.count
    if not any(extra):
        return pooled
    shape: Shape = (*pooled.shape[:2], rows.count, columns.count)
    amounts = layer.integers((0, 0, 0, 0, 0, 0, *extra), "extra")
    # Not padded with `value` at once: engines merge such a Pad into a pooling that follows, whose kernel it may exceed.
    longer = layer.node("Pad", pooled, amounts, shape=shape, mode="edge")
    inside = np.zeros((rows.count, columns.count), bool)
    inside[: rows.inside.count, : columns.inside.count] = True
    return layer.node(
        "Where",
        layer.constant(inside, "inside"),
        longer,
        layer.constant(np.array(value, np.float32), "outside"),
        shape=shape,
    )


def _window(rows: Span, columns: Span) -> dict[str, Any]:
    pads = (rows.pad, columns.pad, rows.end_pad, columns.end_pad)
    return {"kernel_shape": (rows.kernel, columns.kernel), "strides": (rows.stride, columns.stride), "pads": pads}


def _is_global(rows: Span, columns: Span) -> bool:
    return all(s.count == 1 and s.kernel == s.length and s.pad == 0 for s in (rows, columns))


def _spans(layer: LayerContext) -> tuple[Span, Span]:
    settings = layer.param.pooling_param
    stated = {name: settings.HasField(name) for name in ("kernel_size", "kernel_h", "kernel_w", "pad", "stride")}
    both = stated["kernel_h"] and stated["kernel_w"]
    if settings.global_pooling:
        either = stated["kernel_size"] or stated["kernel_h"] or stated["kernel_w"]
        layer.check(not either, "global_pooling excludes a kernel size")
        kernel = tuple(static(dim, "a spatial axis") for dim in layer.bottom.shape[2:])
    else:
        layer.check(stated["kernel_size"] != both, "needs either kernel_size or kernel_h and kernel_w")
        side = settings.kernel_size
        kernel = (side, side) if stated["kernel_size"] else (settings.kernel_h, settings.kernel_w)
    layer.check(min(kernel) > 0, "kernel sizes must be positive")
    pad, stride = (_pair(layer, name, stated[name]) for name in ("pad", "stride"))
    layer.check(min(stride) > 0, "strides must be positive")
    if settings.global_pooling:
        plain = pad == (0, 0) and stride == (1, 1)
        layer.check(plain, "global_pooling needs padding 0 and stride 1")
    if any(pad):
        layer.check(settings.pool != PoolingParameter.STOCHASTIC, "STOCHASTIC pooling cannot pad")
        layer.check(all(p < k for p, k in zip(pad, kernel, strict=True)), "the padding must be smaller than the kernel")
    floor = settings.round_mode == PoolingParameter.FLOOR
    rows, columns = (
        _span(layer, axis + 2, kernel[axis], stride[axis], pad[axis], floor=floor, clip=any(pad)) for axis in (0, 1)
    )
    return rows, columns


def _pair(layer: LayerContext, name: str, single: bool) -> tuple[int, int]:
    settings = layer.param.pooling_param
    has = [settings.HasField(f"{name}_h"), settings.HasField(f"{name}_w")]
    layer.check(not any(has) or (all(has) and not single), f"needs either {name} or {name}_h and {name}_w")
    value = getattr(settings, name)
    return (getattr(settings, f"{name}_h"), getattr(settings, f"{name}_w")) if all(has) else (value, value)


def _span(layer: LayerContext, axis: int, kernel: int, stride: int, pad: int, *, floor: bool, clip: bool) -> Span:
    length = static(layer.bottom.shape[axis], "a spatial axis")
    room = length + 2 * pad - kernel
    count = (math.floor(room / stride) if floor else math.ceil(room / stride)) + 1
    if clip and (count - 1) * stride >= length + pad:
        count -= 1
        layer.check((count - 1) * stride < length + pad, f"axis {axis}: the last window would start in the padding")
    layer.check(count > 0, f"axis {axis} would have size {count}: the kernel spans {kernel}, the input {length}")
    return Span(length, kernel, stride, pad, count)


def _bins(layer: LayerContext, axis: int, bins: int) -> Span:
    """SPP's windows: the kernel that covers the axis in `bins` steps, padded by half of what is missing."""
    length = static(layer.bottom.shape[axis], "a spatial axis")
    kernel = math.ceil(length / bins)
    pad = (kernel * bins - length + 1) // 2
    layer.check(pad < kernel, f"axis {axis}, of size {length}, is too short for {bins} bins")
    return _span(layer, axis, kernel, kernel, pad, floor=False, clip=True)
