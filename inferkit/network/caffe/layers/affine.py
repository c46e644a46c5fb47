"""Layers of learned linear maps: InnerProduct, Scale, Bias, Embed."""

from __future__ import annotations

from collections.abc import Sequence

from inferkit.network.caffe.dims import Shape, learned, product, same_shape, show
from inferkit.network.caffe.layer import BlobSpec, LayerContext, Tensor, constant_filler, stated


def inner_product(layer: LayerContext) -> list[Tensor]:
    """Caffe's InnerProduct: the axes from `axis` on flattened and multiplied by the weights (transposed or not)."""
    settings, bottom = layer.param.inner_product_param, layer.bottom
    layer.check(
        not layer.in_place, "in place, Caffe would overwrite its input while reading it; give the top another name"
    )
    layer.check(settings.num_output > 0, "num_output must be positive")
    axis = layer.axis(settings.axis)
    inputs = learned(product(bottom.shape[axis:]), f"the size of axis {axis} and those after it")
    shape = (inputs, settings.num_output) if settings.transpose else (settings.num_output, inputs)
    specs = [BlobSpec(shape, stated(settings, "weight_filler"))]
    if settings.bias_term:
        specs.append(BlobSpec((settings.num_output,), settings.bias_filler))
    blobs = layer.blobs(*specs)
    parameters = [layer.constant(blob, name) for blob, name in zip(blobs, ("weight", "bias"), strict=False)]
    lead = bottom.shape[:axis]
    rows = layer.reshape(bottom, (product(lead), inputs))
    result = layer.node(
        "Gemm", rows, *parameters, shape=(rows.shape[0], settings.num_output), transB=0 if settings.transpose else 1
    )
    return [layer.reshape(result, (*lead, settings.num_output))]


def scale(layer: LayerContext) -> list[Tensor]:
    """Caffe's Scale: times a learned or a second blob, broadcast from `axis`; optionally plus a learned bias."""
    settings = layer.param.scale_param
    layer.check(len(layer.bottoms) <= 2, "takes one or two bottoms")
    factors = layer.bottoms[1:]
    filler = settings.filler if settings.HasField("filler") else constant_filler(1.0)
    if factors:
        shape: Shape = factors[0].shape
        axis = _fitting_axis(layer, shape, settings.axis)
        specs = [BlobSpec(_static_shape(shape), settings.bias_filler)] if settings.bias_term else []
        blobs = layer.blobs(*specs) if specs else []
        factor, biases = factors[0], blobs
    else:
        shape, axis = _learned_shape(layer, settings.axis, settings.num_axes)
        specs = [BlobSpec(_static_shape(shape), filler)]
        if settings.bias_term:
            specs.append(BlobSpec(_static_shape(shape), settings.bias_filler))
        weight, *biases = layer.blobs(*specs)
        factor = layer.constant(weight.reshape(_broadcast(layer, weight.shape, axis)), "scale")
    result = layer.like("Mul", layer.bottom, layer.reshape(factor, _broadcast(layer, shape, axis)))
    for bias_blob in biases:
        constant = layer.constant(bias_blob.reshape(_broadcast(layer, bias_blob.shape, axis)), "bias")
        result = layer.like("Add", result, constant)
    return [result]


def bias(layer: LayerContext) -> list[Tensor]:
    """Caffe's Bias: plus a learned or a second blob, broadcast from `axis`."""
    settings = layer.param.bias_param
    layer.check(len(layer.bottoms) <= 2, "takes one or two bottoms")
    if len(layer.bottoms) == 2:
        term = layer.bottoms[1]
        shape: Shape = term.shape
        axis = _fitting_axis(layer, shape, settings.axis)
    else:
        shape, axis = _learned_shape(layer, settings.axis, settings.num_axes)
        (blob,) = layer.blobs(BlobSpec(_static_shape(shape), settings.filler))
        term = layer.constant(blob.reshape(_broadcast(layer, blob.shape, axis)), "bias")
    return [layer.like("Add", layer.bottom, layer.reshape(term, _broadcast(layer, shape, axis)))]


def embed(layer: LayerContext) -> list[Tensor]:
    """Caffe's Embed: each element, truncated to an integer, picks a row of the weights; the rows become a last axis."""
    settings, bottom = layer.param.embed_param, layer.bottom
    layer.check(
        not layer.in_place, "in place, Caffe would overwrite its input while reading it; give the top another name"
    )
    layer.check(settings.num_output > 0, "num_output must be positive")
    layer.check(settings.input_dim > 0, "input_dim must be positive")
    specs = [BlobSpec((settings.input_dim, settings.num_output), stated(settings, "weight_filler"))]
    if settings.bias_term:
        specs.append(BlobSpec((settings.num_output,), settings.bias_filler))
    weight, *biases = layer.blobs(*specs)
    shape: Shape = (*bottom.shape, settings.num_output)
    index = layer.cast(bottom, "int64")
    result = layer.node("Gather", layer.constant(weight, "weight"), index, shape=shape, axis=0)
    for term in biases:
        result = layer.like("Add", result, layer.constant(term, "bias"))
    return [result]


def _learned_shape(layer: LayerContext, index: int, num_axes: int) -> tuple[Shape, int]:
    """The shape of a learned factor or term, and the axis it starts at."""
    shape = layer.bottom.shape
    axis = layer.axis(index)
    layer.check(num_axes >= -1, f"num_axes is {num_axes}; it must be -1 or a count")
    layer.check(axis + num_axes <= len(shape), f"{show(shape)} has fewer than {num_axes} axes from axis {axis} on")
    return shape[axis:] if num_axes == -1 else shape[axis : axis + num_axes], axis


def _fitting_axis(layer: LayerContext, shape: Shape, index: int) -> int:
    """Where the second bottom's shape starts within the first's; Caffe ignores the axis of a scalar."""
    axis = layer.axis(index) if shape else 0
    wanted = layer.bottom.shape[axis : axis + len(shape)]
    fits = len(wanted) == len(shape) and same_shape(wanted, shape)
    layer.check(
        fits, f"the second bottom's shape {show(shape)} does not fit {show(layer.bottom.shape)} from axis {axis}"
    )
    return axis


def _broadcast(layer: LayerContext, shape: Sequence[object], axis: int) -> tuple:
    """`shape` with an axis of size 1 for each axis of the bottom after those it covers."""
    return (*shape, *(1,) * (len(layer.bottom.shape) - axis - len(shape))) if shape else ()


def _static_shape(shape: Shape) -> tuple[int, ...]:
    return tuple(learned(dim, "an axis of a learned blob") for dim in shape)
