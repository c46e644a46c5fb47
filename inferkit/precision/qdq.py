"""Writes symmetric Q/DQ pairs into the graph where the placement says, with weights stored as integers (or FP8).

TensorRT's conditions decide the form: zero points are 0, activations have one scale per tensor, weights one per output
channel, the bias stays floating point (TensorRT refuses one that comes from a DequantizeLinear of INT32).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inferkit.errors import PrecisionError
from inferkit.precision.calibration.methods import Calibration
from inferkit.precision.placement import Placement, QuantizedLayer
from inferkit.precision.rewrite.fold import channel_axis
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import attribute

# The bias of an integer kernel is an INT32 in units of (input scale * weight scale). A channel whose weights are tiny
# (a dead filter, after BatchNormalization was folded) would need a bias beyond that; its weights get a coarser scale.
_BIAS_LIMIT = float(1 << 30)
# A scale so many times as wide as a tensor's own costs one of its eight bits. Equal scales on both ends of an operator
# that moves values let TensorRT run it in INT8; ONNX Runtime and TensorRT take a pair of its own for each reader too.
_NEARLY = 2.0
# Scales tried for a channel of FP8 weights, from its own up to twice that, and how many values at a time. Steps of FP8
# double with each power of two, so that a scale of up to twice the width costs no precision: where the weights lie
# between the codes decides. 16 scales take a quarter of the squared error away (12 to 70 % of a layer's), 32 no more.
_TRIED = 16
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Format:
    """A number format of codes: `largest` is the code that amax maps to, `opset` the first with Q/DQ for it."""

    name: str
    element: int
    largest: float
    opset: int


INT8 = Format("int8", TensorProto.INT8, 127.0, 13)
FP8 = Format("fp8", TensorProto.FLOAT8E4M3FN, 448.0, 19)
FORMATS = {"int8": INT8, "fp8": FP8}


def insert(graph: Graph, placement: Placement, calibration: Calibration, form: Format) -> None:
    """Write Q/DQ pairs for `placement` into `graph`. PrecisionError where the calibration lacks a tensor."""
    scales = activation_scales(placement, calibration, form)
    dequantized = {name: _pair(graph, name, scale, form) for name, scale in scales.items()}
    for node, index in placement.reads:
        node.input[index] = dequantized[node.input[index]]
    graph.touched()
    weights: dict[tuple[str, bytes, int], str] = {}
    for layer in placement.layers:
        original = next(name for name, replaced in dequantized.items() if replaced == layer.source)
        _quantize_weights(graph, layer, scales[original], form, weights)


def activation_scales(placement: Placement, calibration: Calibration, form: Format) -> dict[str, float]:
    """The scale (amax / largest code) of each tensor to be quantized.

    Tensors of one group share the widest of theirs where it is nearly their own; else each keeps its own. Where the
    calibration lacks one, the group's widest range counts, of all its tensors: its values are among theirs.
    PrecisionError names tensors for which there is none.
    """
    group = {name: placement.groups.get(name, name) for name in (*placement.tensors, *calibration.amax)}
    widest: dict[str, float] = {}
    for name, amax in calibration.amax.items():
        widest[group[name]] = max(widest.get(group[name], 0.0), amax)
    missing = [name for name in placement.tensors if group[name] not in widest]
    if missing:
        raise PrecisionError(
            f"the calibration ({calibration.description}) has no range for {', '.join(missing)}; "
            f"it belongs to another network or to an older version of it; calibrate again"
        )
    own = {name: calibration.amax.get(name, widest[group[name]]) for name in placement.tensors}
    shared: dict[str, float] = {}  # of each group, the range of the tensors seen last, from the widest down
    ranges: dict[str, float] = {}
    for name in sorted(own, key=lambda name: -own[name]):
        amax = shared.get(group[name], own[name])
        if own[name] > 0 and amax > own[name] * _NEARLY:
            amax = own[name]
        ranges[name] = shared[group[name]] = amax
    return {name: scale_of(ranges[name], form) for name in placement.tensors}


def scale_of(amax: float, form: Format) -> float:
    """The scale of an amax, as the float32 that is written. A tensor that was always zero gets the scale of amax 1."""
    scale = np.float32((amax if amax > 0.0 else 1.0) / form.largest)
    return float(max(scale, np.finfo(np.float32).tiny))


def _pair(graph: Graph, name: str, scale: float, form: Format) -> str:
    scale_name = graph.add_constant(f"{name}_scale", np.array(scale, dtype=np.float32))
    zero_name = graph.add_tensor(f"{name}_zero_point", _codes(np.zeros((), np.float32), form))
    quantized, result = graph.fresh(f"{name}_quantized"), graph.fresh(f"{name}_dequantized")
    graph.add_node("QuantizeLinear", [name, scale_name, zero_name], [quantized], quantized)
    graph.add_node("DequantizeLinear", [quantized, scale_name, zero_name], [result], result)
    return result


def _quantize_weights(
    graph: Graph, layer: QuantizedLayer, input_scale: float, form: Format, done: dict[tuple[str, bytes, int], str]
) -> None:
    node = layer.node
    values = graph.array(layer.weights)
    assert values is not None
    if not np.isfinite(values).all():
        raise PrecisionError(f"layer {node.name!r}: its weights {layer.weights!r} contain NaN or infinity")
    axis = channel_axis(node)
    bias = graph.array(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    scales = weight_scales(node, values, form, bias, input_scale)
    key = (layer.weights, scales.tobytes(), axis)
    if key not in done:
        shape = [1] * values.ndim
        shape[axis] = -1
        codes = graph.add_tensor(f"{layer.weights}_{form.name}", _codes(values / scales.reshape(shape), form))
        scale_name = graph.add_constant(f"{layer.weights}_scale", scales)
        zero_name = graph.add_tensor(f"{layer.weights}_zero_point", _codes(np.zeros_like(scales), form))
        result = graph.fresh(f"{layer.weights}_dequantized")
        graph.add_node("DequantizeLinear", [codes, scale_name, zero_name], [result], result, axis=axis)
        done[key] = result
    node.input[1] = done[key]
    graph.touched()


def weight_scales(
    node: onnx.NodeProto, weights: NDArray, form: Format, bias: NDArray | None, input_scale: float
) -> NDArray[np.float32]:
    """One scale per output channel, float32 [channels along channel_axis]; amax of the channel / largest code.

    Of FP8 that is the narrowest of several, of which the one with the least squared error is taken.
    A transposed convolution's groups share the scales of their like-numbered channels, since its weights have one axis
    for the channels of one group. Channels of zeros get the scale of amax 1.
    """
    axis = channel_axis(node)
    others = tuple(a for a in range(weights.ndim) if a != axis)
    amax = np.maximum(weights.max(axis=others), -weights.min(axis=others)).astype(np.float64)  # without a copy of all
    scales = np.where(amax > 0, amax, 1.0) / form.largest
    if bias is not None and form is INT8:
        groups = int(attribute(node, "group", 1)) if node.op_type == "ConvTranspose" else 1
        needed = np.atleast_2d(np.abs(bias.astype(np.float64))).max(axis=0)  # a Gemm's may differ between images
        needed = np.broadcast_to(needed, scales.size * groups).reshape(groups, scales.size).max(axis=0)
        scales = np.maximum(scales, needed / (input_scale * _BIAS_LIMIT))
    tiny = float(np.finfo(np.float32).tiny)
    narrowest = np.maximum(scales, tiny).astype(np.float32)
    return _of_least_error(np.moveaxis(weights, axis, 0), narrowest, form) if form is FP8 else narrowest


def _of_least_error(weights: NDArray, narrowest: NDArray[np.float32], form: Format) -> NDArray[np.float32]:
    """Of the scales tried for each channel (the first axis), from the narrowest that clips nothing, the best one."""
    import ml_dtypes

    best = narrowest.copy()
    channels = max(1, _CHUNK // max(1, weights[:1].size))
    for start in range(0, len(weights), channels):
        part = slice(start, start + channels)
        values = weights[part].reshape(len(best[part]), -1).astype(np.float32, copy=False)
        least = np.full(len(values), np.inf)
        for factor in 2.0 ** (np.arange(_TRIED) / _TRIED):
            scale = (narrowest[part] * factor).astype(np.float32)
            codes = np.minimum(np.maximum(values / scale[:, None], -form.largest), form.largest)
            rounded = codes.astype(ml_dtypes.float8_e4m3fn).astype(np.float32) * scale[:, None]
            error = np.square(rounded - values).sum(axis=1, dtype=np.float64)
            best[part] = np.where(error < least, scale, best[part])
            least = np.minimum(error, least)
    return best


def _codes(scaled: NDArray, form: Format) -> onnx.TensorProto:
    """Codes of values already divided by their scale: rounded to nearest even, saturated, never -128."""
    limited = np.clip(scaled.astype(np.float32, copy=False), -form.largest, form.largest)
    if form.element == TensorProto.INT8:
        return numpy_helper.from_array(np.rint(limited).astype(np.int8))
    import ml_dtypes

    codes = limited.astype(ml_dtypes.float8_e4m3fn)
    return helper.make_tensor("", form.element, codes.shape, codes.tobytes(), raw=True)


def quantized_tensors(model: onnx.ModelProto) -> Mapping[str, float]:
    """The scale of every activation that a model quantizes, by tensor name: as written in the model."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    return {
        node.input[0]: float(numpy_helper.to_array(constants[node.input[1]]))
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants and node.input[1] in constants
    }
