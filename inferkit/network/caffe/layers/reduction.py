"""Layers that reduce along axes: Softmax, ArgMax and Reduction."""

from __future__ import annotations

import numpy as np

from inferkit.network.caffe.dims import BatchDim, Dim, Shape, at_least, concrete, product, show
from inferkit.network.caffe.files.schema import ReductionParameter
from inferkit.network.caffe.layer import LayerContext, Tensor


def softmax(layer: LayerContext) -> list[Tensor]:
    """Caffe's Softmax along `axis`."""
    return [layer.like("Softmax", layer.bottom, axis=layer.axis(layer.param.softmax_param.axis))]


def arg_max(layer: LayerContext) -> list[Tensor]:
    """Caffe's ArgMax: the top_k largest along `axis`, or of each whole item; of equal values the last comes first.

    Without an axis the top is [N, 1, top_k, ...], or [N, 2, top_k, ...] with the values behind the indices.
    """
    settings, shape = layer.param.argmax_param, layer.bottom.shape
    layer.check(not layer.in_place, "in place, Caffe would overwrite its input; give the top another name")
    count = settings.top_k
    layer.check(count >= 1, "top_k must be at least 1")
    if settings.HasField("axis"):
        axis = layer.axis(settings.axis)
        layer.check(concrete(shape[axis]) >= count, f"top_k {count} exceeds the size of axis {axis} of {show(shape)}")
        values, indices = _largest(layer, layer.bottom, axis, count)
        return [values if settings.out_max_val else layer.cast(indices, "float32")]
    layer.check(len(shape) >= 1, "needs a blob with axes")
    size = product(shape[1:])
    layer.check(at_least(size, count), f"top_k {count} exceeds the {concrete(size)} elements of an item")
    values, indices = _largest(layer, layer.reshape(layer.bottom, (shape[0], size)), 1, count)
    positions = layer.cast(indices, "float32")
    trailing = (1,) * (max(3, len(shape)) - 3)
    if not settings.out_max_val:
        return [layer.reshape(positions, (shape[0], 1, count, *trailing))]
    both = layer.node("Concat", positions, values, shape=(shape[0], 2 * count), axis=1)
    return [layer.reshape(both, (shape[0], 2, count, *trailing))]


def _largest(layer: LayerContext, tensor: Tensor, axis: int, count: int) -> tuple[Tensor, Tensor]:
    """Values and indices (int64) of the largest along an axis.

    ONNX puts the first of equal values first, Caffe the last: the axis is reversed, and the indices back.
    """
    size: Dim = tensor.shape[axis]
    reverse = [layer.integers([value], name) for value, name in ((-1, "last"), (-(2**31), "first"), (axis, "axis"))]
    backwards = layer.like("Slice", tensor, *reverse, layer.integers([-1], "step"))
    shape: Shape = (*tensor.shape[:axis], count, *tensor.shape[axis + 1 :])
    values, indices = layer.nodes(
        "TopK",
        backwards,
        layer.integers([count], "count"),
        outputs=[(shape, "float32"), (shape, "int64")],
        axis=axis,
    )
    one = layer.integers([1], "one")
    if isinstance(size, BatchDim):
        sizes = layer.node("Shape", tensor, shape=(1,), dtype="int64", start=axis, end=axis + 1)
        last = layer.node("Sub", sizes, one, shape=(1,), dtype="int64")
    else:
        last = layer.constant(np.array([size - 1], np.int64), "last_index")
    return values, layer.node("Sub", last, indices, shape=shape, dtype="int64")


def reduction(layer: LayerContext) -> list[Tensor]:
    """Caffe's Reduction: the axes from `axis` on become one number each: their sum, mean, or sum of |x| or of x * x."""
    settings, shape = layer.param.reduction_param, layer.bottom.shape
    layer.check(not layer.in_place, "in place, Caffe would overwrite its input; give the top another name")
    first = layer.axis(settings.axis)
    ops = {
        ReductionParameter.SUM: "ReduceSum",
        ReductionParameter.ASUM: "ReduceL1",
        ReductionParameter.SUMSQ: "ReduceSumSquare",
        ReductionParameter.MEAN: "ReduceMean",
    }
    layer.check(settings.operation in ops, f"unknown operation {settings.operation}")
    axes = layer.integers(range(first, len(shape)), "axes")
    reduced = layer.node(ops[settings.operation], layer.bottom, axes, shape=shape[:first], keepdims=0)
    return [layer.scaled(reduced, settings.coeff)]
