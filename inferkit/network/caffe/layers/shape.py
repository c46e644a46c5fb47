"""Layers that move elements and compute nothing: Flatten, Reshape, Concat, Slice, Crop, Tile, Split, BatchReindex."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from inferkit.network.caffe.dims import (
    BatchDim,
    Dim,
    Shape,
    add,
    at_least,
    batch,
    concrete,
    divide,
    product,
    same,
    same_shape,
    show,
    static,
    subtract,
)
from inferkit.network.caffe.layer import LayerContext, Tensor


def flatten(layer: LayerContext) -> list[Tensor]:
    """Caffe's Flatten: axes `axis` to `end_axis` become one."""
    settings, shape = layer.param.flatten_param, layer.bottom.shape
    layer.check(not layer.in_place, "does not work in place; give the top another name")
    start, end = layer.axis(settings.axis), layer.axis(settings.end_axis)
    layer.check(start <= end + 1, f"axis {start} is after end_axis {end}")
    return [layer.reshape(layer.bottom, (*shape[:start], product(shape[start : end + 1]), *shape[end + 1 :]))]


def reshape(layer: LayerContext) -> list[Tensor]:
    """Caffe's Reshape: `num_axes` axes from `axis` on are replaced; 0 copies an axis, -1 is inferred.

    A first dimension that states the prototxt's batch fits no other batch. Where it is
    ImportSettings.explicit_batch, it follows the batch instead.
    """
    settings, shape = layer.param.reshape_param, layer.bottom.shape
    layer.check(not layer.in_place, "does not work in place; give the top another name")
    start = settings.axis if settings.axis >= 0 else len(shape) + settings.axis + 1
    layer.check(0 <= start <= len(shape), f"axis {settings.axis} is out of range for {show(shape)}")
    layer.check(settings.num_axes >= -1, f"num_axes is {settings.num_axes}; it must be -1 or a count")
    end = len(shape) if settings.num_axes == -1 else start + settings.num_axes
    layer.check(end <= len(shape), f"{show(shape)} has fewer than {settings.num_axes} axes from axis {start} on")
    stated = list(settings.shape.dim)
    layer.check(stated.count(-1) <= 1, "the shape has more than one -1")
    layer.check(all(dim >= -1 for dim in stated), f"the shape {stated} has a negative dimension")
    new: list[Dim] = []
    for place, dim in enumerate(stated):
        if dim == 0:
            layer.check(
                start + place < len(shape), f"the 0 at {place} of {stated} has no axis of {show(shape)} to copy"
            )
            new.append(shape[start + place])
        elif start == place == 0 and dim == layer.settings.explicit_batch:
            new.append(batch(dim))
            layer.notes.append(f"layer '{layer.name}' (Reshape) states the batch ({dim}); it follows the batch instead")
        else:
            new.append(dim)
    if -1 in new:
        stated_count = product([*shape[:start], *(dim for dim in new if dim != -1), *shape[end:]])
        inferred = divide(product(shape), stated_count)
        if inferred is None:
            total, part = concrete(product(shape)), concrete(stated_count)
            layer.refuse(f"{total} elements do not divide by {part}, the product of the stated axes")
        new[new.index(-1)] = inferred
    target: Shape = (*shape[:start], *new, *shape[end:])
    fits = same(product(target), product(shape))
    layer.check(fits, f"{show(shape)} and {show(target)} differ in their number of elements")
    return [layer.reshape(layer.bottom, target)]


def concat(layer: LayerContext) -> list[Tensor]:
    """Caffe's Concat, along `axis` or the older `concat_dim`."""
    settings = layer.param.concat_param
    axis = _old_or_new_axis(layer, settings, "concat_dim")
    if len(layer.bottoms) == 1:
        return [layer.bottom]
    layer.check(
        not layer.in_place, "in place, Caffe would overwrite its input while reading it; give the top another name"
    )
    total: Dim = 0
    shape = layer.bottom.shape
    for bottom in layer.bottoms:
        layer.check(len(bottom.shape) == len(shape), f"bottoms differ in axes: {show(shape)} and {show(bottom.shape)}")
        fits = same_shape(_without(bottom.shape, axis), _without(shape, axis))
        layer.check(fits, f"bottoms differ in more than axis {axis}: {show(shape)} and {show(bottom.shape)}")
        total = add(total, bottom.shape[axis])
    return [layer.node("Concat", *layer.bottoms, shape=_replaced(shape, axis, total), axis=axis)]


def slice_(layer: LayerContext) -> list[Tensor]:
    """Caffe's Slice, at `slice_point`s or into equal parts, along `axis` or the older `slice_dim`."""
    settings, shape = layer.param.slice_param, layer.bottom.shape
    axis = _old_or_new_axis(layer, settings, "slice_dim")
    points, count = list(settings.slice_point), layer.top_count
    length = shape[axis]
    sizes: list[Dim]
    if points:
        layer.check(len(points) == count - 1, f"{len(points)} slice points for {count} tops")
        edges = [0, *points]
        steps = [end - start for start, end in pairwise(edges)]
        layer.check(all(step > 0 for step in steps), f"slice points {points} are not in ascending order")
        last = subtract(length, points[-1])
        layer.check(
            concrete(last) >= 1,
            f"slice points {points} leave nothing of the axis' {concrete(length)} elements for the last top",
        )
        sizes = [*steps, last]
    else:
        part = divide(length, count)
        if part is None:
            layer.refuse(f"{concrete(length)} elements do not divide into {count} tops")
        sizes = [part] * count
    if count == 1:
        return [layer.bottom]
    layer.check(not layer.in_place, "does not work in place; give the top another name")
    shapes = [_replaced(shape, axis, size) for size in sizes]
    if not isinstance(length, BatchDim):
        split = layer.integers([static(size, "a part") for size in sizes], "split")
        return layer.nodes("Split", layer.bottom, split, outputs=[(part, "float32") for part in shapes], axis=axis)
    if not points:
        # Not Split into `num_outputs`: that makes the last part smaller where Caffe aborts. This Reshape is an error.
        parts = layer.reshape(layer.bottom, (*shape[:axis], count, sizes[0], *shape[axis + 1 :]))
        places = [layer.constant(np.array(place, np.int64), "place") for place in range(count)]
        return [layer.node("Gather", parts, place, shape=shapes[0], axis=axis) for place in places]
    # The last size is computed, so that a batch with nothing left for it is an error in the engine as it is in Caffe.
    total = layer.node("Shape", layer.bottom, shape=(1,), dtype="int64", start=axis, end=axis + 1)
    rest = layer.node("Sub", total, layer.integers([points[-1]], "last_point"), shape=(1,), dtype="int64")
    last_size = layer.node("Max", rest, layer.integers([1], "least"), shape=(1,), dtype="int64")
    fixed = layer.integers([concrete(size) for size in sizes[:-1]], "sizes")
    split = layer.node("Concat", fixed, last_size, shape=(count,), dtype="int64", axis=0)
    return layer.nodes("Split", layer.bottom, split, outputs=[(part, "float32") for part in shapes], axis=axis)


def split(layer: LayerContext) -> list[Tensor]:
    """Caffe's Split: every top is the bottom."""
    layer.check(not layer.in_place, "does not work in place; give the top another name")
    return [layer.bottom] * layer.top_count


def crop(layer: LayerContext) -> list[Tensor]:
    """Caffe's Crop: the axes from `axis` on get the sizes of the second bottom's, starting at the offsets."""
    settings = layer.param.crop_param
    layer.check(len(layer.bottoms) == 2, "needs two bottoms")
    layer.check(
        not layer.in_place, "in place, Caffe would overwrite its input while reading it; give the top another name"
    )
    shape, wanted = layer.bottom.shape, layer.bottoms[1].shape
    first = layer.axis(settings.axis)
    offsets = list(settings.offset)
    cropped = len(shape) - first
    layer.check(len(offsets) <= 1 or len(offsets) == cropped, f"{len(offsets)} offsets for {cropped} cropped axes")
    layer.check(len(wanted) >= len(shape), f"the second bottom {show(wanted)} has fewer axes than {show(shape)}")
    offsets = offsets * cropped if len(offsets) == 1 else offsets or [0] * cropped
    axes: list[int] = []
    starts: list[int] = []
    sizes: list[Dim] = []
    for axis, offset in zip(range(first, len(shape)), offsets, strict=True):
        room, size = subtract(shape[axis], offset), wanted[axis]
        layer.check(
            at_least(room, size), f"axis {axis}: {concrete(size)} from {offset} on is more than {concrete(shape[axis])}"
        )
        if offset == 0 and shape[axis] == size:
            continue
        axes.append(axis)
        starts.append(offset)
        sizes.append(size)
    if not axes:
        return [layer.bottom]
    target: Shape = (*shape[:first], *wanted[first : len(shape)])
    begin = layer.integers(starts, "starts")
    if any(isinstance(size, BatchDim) for size in sizes):
        lengths = layer.node("Shape", layer.bottoms[1], shape=(len(wanted),), dtype="int64")
        chosen = layer.node("Gather", lengths, layer.integers(axes, "axes"), shape=(len(axes),), dtype="int64")
        end = layer.node("Add", chosen, begin, shape=(len(axes),), dtype="int64")
    else:
        end = layer.integers([start + concrete(size) for start, size in zip(starts, sizes, strict=True)], "ends")
    return [layer.node("Slice", layer.bottom, begin, end, layer.integers(axes, "axes"), shape=target)]


def tile(layer: LayerContext) -> list[Tensor]:
    """Caffe's Tile: the blob repeated along one axis."""
    settings, shape = layer.param.tile_param, layer.bottom.shape
    axis = layer.axis(settings.axis)
    layer.check(settings.tiles > 0, "tiles must be given and positive")
    layer.check(
        not layer.in_place, "in place, Caffe would overwrite its input while reading it; give the top another name"
    )
    repeats = layer.integers([settings.tiles if place == axis else 1 for place in range(len(shape))], "repeats")
    longer = product((shape[axis], settings.tiles))
    return [layer.node("Tile", layer.bottom, repeats, shape=_replaced(shape, axis, longer))]


def batch_reindex(layer: LayerContext) -> list[Tensor]:
    """Caffe's BatchReindex: the items of bottom 0 that bottom 1 lists."""
    items, index = layer.bottoms
    layer.check(len(index.shape) == 1, f"the index has the shape {show(index.shape)}; it must have one axis")
    layer.check(
        not layer.in_place, "in place, Caffe would overwrite its input while reading it; give the top another name"
    )
    shape: Shape = (*index.shape, *items.shape[1:])
    return [layer.node("Gather", items, layer.cast(index, "int64"), shape=shape, axis=0)]


def _old_or_new_axis(layer: LayerContext, settings: object, old: str) -> int:
    has = settings.HasField  # type: ignore[attr-defined]
    layer.check(not (has("axis") and has(old)), f"axis and {old} exclude each other; give one of them")
    if not has(old):
        return layer.axis(settings.axis)  # type: ignore[attr-defined]
    axis: int = getattr(settings, old)
    layer.check(0 <= axis < len(layer.bottom.shape), f"{old} {axis} is out of range for {show(layer.bottom.shape)}")
    return axis


def _replaced(shape: Shape, axis: int, dim: Dim) -> Shape:
    return (*shape[:axis], dim, *shape[axis + 1 :])


def _without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])
