"""Eltwise: the product, weighted sum or maximum of blobs of one shape."""

from __future__ import annotations

from inferkit.network.caffe.dims import same_shape, show
from inferkit.network.caffe.files.schema import EltwiseParameter
from inferkit.network.caffe.layer import LayerContext, Tensor


def eltwise(layer: LayerContext) -> list[Tensor]:
    """Caffe's Eltwise. In place, SUM and MAX clear their first bottom before they read it, so it does not take part."""
    settings = layer.param.eltwise_param
    bottoms, coefficients = list(layer.bottoms), list(settings.coeff)
    layer.check(len(bottoms) >= 2, "needs at least two bottoms")
    for bottom in bottoms[1:]:
        same = same_shape(bottom.shape, layer.bottom.shape)
        layer.check(same, f"bottoms differ in shape: {show(layer.bottom.shape)} and {show(bottom.shape)}")
    layer.check(len(coefficients) in (0, len(bottoms)), f"{len(coefficients)} coefficients for {len(bottoms)} bottoms")
    if settings.operation == EltwiseParameter.PROD:
        layer.check(not coefficients, "coefficients are for SUM only")
        return [_chain(layer, "Mul", bottoms)]
    coefficients = coefficients or [1.0] * len(bottoms)
    if layer.in_place:
        layer.notes.append(
            f"layer '{layer.name}' (Eltwise) works in place: as in Caffe its first bottom does not take part"
        )
        bottoms, coefficients = bottoms[1:], coefficients[1:]
    if settings.operation == EltwiseParameter.MAX:
        return [bottoms[0] if len(bottoms) == 1 else layer.like("Max", *bottoms)]
    return [_sum(layer, bottoms, coefficients)]


def _sum(layer: LayerContext, bottoms: list[Tensor], coefficients: list[float]) -> Tensor:
    total = layer.scaled(bottoms[0], coefficients[0])
    for bottom, coefficient in zip(bottoms[1:], coefficients[1:], strict=True):
        if coefficient == -1:
            total = layer.like("Sub", total, bottom)
        else:
            total = layer.like("Add", total, layer.scaled(bottom, coefficient))
    return total


def _chain(layer: LayerContext, op: str, tensors: list[Tensor]) -> Tensor:
    result = tensors[0]
    for tensor in tensors[1:]:
        result = layer.like(op, result, tensor)
    return result
