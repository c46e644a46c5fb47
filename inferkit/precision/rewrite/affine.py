"""Affine steps per channel: BatchNormalization, and Mul, Add, Sub and Div by a constant, as scale and shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import attribute


@dataclass(frozen=True)
class Affine:
    """y = scale * x + shift along axis 1, in double precision: each a vector [channels] or one number [1]."""

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]

    @property
    def size(self) -> int:
        """The number of channels with values of their own; 1 where all channels share one."""
        return max(self.scale.size, self.shift.size)

    def per_channel(self, channels: int) -> Affine:
        """Both vectors at full length."""
        return Affine(np.broadcast_to(self.scale, channels), np.broadcast_to(self.shift, channels))

    def then(self, following: Affine) -> Affine:
        """This step and then `following`, as one step."""
        return Affine(self.scale * following.scale, self.shift * following.scale + following.shift)


def affine_of(graph: Graph, node: onnx.NodeProto, source: str, rank: int) -> Affine | None:
    """What `node` does to its input `source`, a tensor of `rank` axes; None where it is no affine step per channel."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "BatchNormalization":
        return _batch_normalization(graph, node, source)
    if node.op_type not in ("Mul", "Add", "Sub", "Div") or len(node.input) != 2:
        return None
    first = node.input[0] == source
    operand = node.input[1] if first else node.input[0]
    if operand == source:
        return None
    value = graph.array(operand)
    if value is None or value.dtype.kind != "f":
        return None
    constant = _along_channels(value, rank)
    if constant is None:
        return None
    one, zero = np.ones(1), np.zeros(1)
    if node.op_type == "Mul":
        return Affine(constant, zero)
    if node.op_type == "Add":
        return Affine(one, constant)
    if node.op_type == "Sub":
        return Affine(one, -constant) if first else Affine(-one, constant)
    return Affine(1.0 / constant, zero) if first and np.all(constant != 0) else None


def _batch_normalization(graph: Graph, node: onnx.NodeProto, source: str) -> Affine | None:
    if node.input[0] != source or attribute(node, "training_mode", 0) or attribute(node, "spatial", 1) != 1:
        return None
    if any(name and (graph.readers(name) or name in graph.output_names) for name in node.output[1:]):
        return None
    parameters = [graph.array(name) for name in node.input[1:5]]
    if any(value is None for value in parameters):
        return None
    gamma, beta, mean, variance = (np.asarray(value, dtype=np.float64) for value in parameters)
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        shift = beta - mean * scale
    return Affine(scale, shift) if np.isfinite(scale).all() and np.isfinite(shift).all() else None


def _along_channels(value: NDArray, rank: int) -> NDArray[np.float64] | None:
    """A constant that broadcasts to a tensor of `rank` axes, as a vector along axis 1; None if it varies elsewhere."""
    if value.ndim > rank:
        return None
    shape = (1,) * (rank - value.ndim) + value.shape
    if any(size != 1 for axis, size in enumerate(shape) if axis != 1):
        return None
    return value.astype(np.float64).reshape(-1)
