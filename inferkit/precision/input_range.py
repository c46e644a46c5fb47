"""Images against the calibration: whether what a quantized network is fed lies where it was calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.precision.qdq import FORMATS

if TYPE_CHECKING:
    import onnx

    from inferkit.network.network import Network

# Images may be brighter than those of the calibration, and a few images darker: other preprocessing is further away.
_ABOVE, _BELOW = 2.0, 10.0
_SAME = ("Identity", "Cast", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Pad", "Clip")
_SCALED = ("Mul", "Div", "Add", "Sub")


def calibrated_inputs(network: Network) -> dict[str, float]:
    """The largest magnitude that the codes stand for, by input; only inputs that are quantized as they are, or after
    layers that scale and shift them."""
    if network.precision not in FORMATS:
        return {}
    graph = network.model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    inputs = {info.name for info in network.inputs}
    found: dict[str, float] = {}
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants and node.input[1] in constants:
            largest = _largest(node, constants, FORMATS[network.precision].largest)
            traced = _at_input(node.input[0], largest, producers, constants, inputs)
            if traced is not None:
                found.setdefault(*traced)
    return found


def _largest(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], symmetric: float) -> float:
    """The largest magnitude that the codes of a QuantizeLinear stand for: up to `symmetric` steps, unless zero has
    another code than 0."""
    from onnx import numpy_helper

    scale = float(numpy_helper.to_array(constants[node.input[1]]).max())
    zero = constants.get(node.input[2]) if len(node.input) > 2 else None
    steps = symmetric
    if zero is not None:
        code = numpy_helper.to_array(zero)
        if code.dtype.kind in "iu" and (code.dtype.kind == "u" or code.any()):
            limits = np.iinfo(code.dtype)
            steps = float(max(limits.max - int(code.min()), int(code.max()) - limits.min))
    return scale * steps


def unlike_calibration(calibrated: Mapping[str, float], images: Mapping[str, NDArray[Any]], precision: str) -> str:
    """A warning with both figures where images reach twice as far as was calibrated, or not a tenth of it.

    `calibrated` is of `calibrated_inputs`, `images` arrays by input name. Empty where they fit. Another preprocessing
    (mean, scale) than that of the calibration makes the quantized values useless.
    """
    for name, largest in calibrated.items():
        if name not in images or not images[name].size:
            continue
        seen = float(np.abs(images[name].astype(np.float32)).max())
        if not largest / _BELOW <= seen <= largest * _ABOVE:
            return (
                f"the largest value of the images is {seen:.4g}, but {precision} was calibrated up to {largest:.4g}: "
                f"they were preprocessed differently, so {precision} will be inaccurate; calibrate with the mean and "
                "scale of these images, or feed them with those of the calibration"
            )
    return ""


def _at_input(
    name: str,
    largest: float,
    producers: Mapping[str, onnx.NodeProto],
    constants: Mapping[str, onnx.TensorProto],
    inputs: set[str],
) -> tuple[str, float] | None:
    """The input of which a tensor is a scaled and shifted copy, and the magnitude there of `largest` here."""
    from onnx import numpy_helper

    while name not in inputs:
        node = producers.get(name)
        if node is None:
            return None
        fed = [each for each in node.input if each and each not in constants]
        if node.op_type in _SAME and fed:
            name = fed[0]
            continue
        if node.op_type not in _SCALED or len(fed) != 1 or len(node.input) != 2:
            return None
        (constant,) = (each for each in node.input if each in constants)
        magnitude = float(np.abs(numpy_helper.to_array(constants[constant]).astype(np.float32)).max(initial=0.0))
        if node.op_type in ("Add", "Sub"):
            largest += magnitude
        elif not magnitude or (node.op_type == "Div" and constant == node.input[0]):
            return None
        else:
            largest = largest * magnitude if node.op_type == "Div" else largest / magnitude
        name = fed[0]
    return name, largest
