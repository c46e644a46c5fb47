"""Refuses a rewritten graph that computes something else than the graph before, with the first node where it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from inferkit.errors import PrecisionError
from inferkit.precision.comparison.limits import (
    LIMITS,
    difference,
    distance,
    half_rounding,
    quantized_rounding,
)
from inferkit.precision.comparison.tensors import Tensor, upstream
from inferkit.precision.comparison.walk import Values, Walk
from inferkit.precision.halves import HALVES
from inferkit.precision.islands import SATURATING
from inferkit.precision.qdq import FORMATS
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import subgraphs
from inferkit.precision.rewrite.running import run_part

# FP32 sums in another order differ by more than one change of the last bit of each summand, but not by so many.
_REORDERING = 32.0
# A branch that is not taken is compared as a whole, in which sums in another order may show by more than in one node.
_BRANCH = LIMITS["tf32"]


def require_same(base: Graph, head: Graph, feeds: Values, what: str, hint: str) -> tuple[str, ...]:
    """Compare an FP32 graph with one that was made from it; returns notes on what could not be compared.

    `feeds`: arrays by input name. Every tensor that both compute has to agree but for the order of FP32 sums; others
    are equal. PrecisionError names the first node that does not: "`what` changes what layer … computes: …; `hint`".
    """
    walk = Walk(base, head, feeds)

    def compare(tensor: Tensor) -> None:
        if walk.is_unchanged(tensor):
            return
        expected = walk.values[tensor.name]
        actual = walk.head_values(tensor)[tensor.name]
        reason = difference(expected, actual, LIMITS["fp32"])
        if not reason or _is_reordering(walk, tensor, expected, actual):
            reason = _in_branches(walk, tensor, _BRANCH)
        if reason:
            raise PrecisionError(f"{what} changes what {_named(tensor)} computes: {tensor.name!r} {reason}; {hint}")

    return walk.run(compare)


def _in_branches(walk: Walk, tensor: Tensor, limit: float) -> str | None:
    """What differs, in words, on a way through the branches of a tensor's node, be it taken or not."""
    for way, expected, actual in walk.branches(tensor):
        reason = difference(expected, actual, limit)
        if reason:
            return f"{reason} in {way}"
    return None


def _is_reordering(walk: Walk, tensor: Tensor, expected: NDArray[Any], actual: NDArray[Any]) -> bool:
    """Whether the last bits of what base reads change its result as much: large values that cancel each other out."""
    if expected.dtype.kind != "f" or expected.shape != actual.shape:
        return False
    nodes, leaves = upstream(walk.base, [tensor.name], set(tensor.leaves.values()))
    if any(name not in walk.values for name in leaves):
        return False
    constants = {name for node in nodes for name in node.input if name in walk.base.constants}
    values = {name: walk.base_value(name) for name in (*leaves, *constants)}
    feeds = {name: _last_bit(value, name) for name, value in values.items() if value is not None}
    try:
        changed = np.asarray(run_part(walk.base, nodes, feeds, [tensor.name])[tensor.name])
    except Exception:  # a constant that must be what it is, such as a scale of 1
        return False
    if changed.shape != expected.shape or difference(expected, actual, -np.inf):
        return False
    return distance(expected, actual) <= _REORDERING * distance(expected, changed)


def _last_bit(values: NDArray[Any], name: str) -> NDArray[Any]:
    if values.dtype.kind != "f":
        return values
    signs = np.random.default_rng(list(name.encode())).integers(0, 2, values.shape) * 2 - 1
    return np.asarray(values * (1 + signs * np.finfo(values.dtype).eps), dtype=values.dtype)


def require_explained(
    base: Graph,
    head: Graph,
    precision: str,
    feeds: Values,
    *,
    what: str,
    hint: Callable[[onnx.NodeProto], str],
    representative: bool = True,
) -> tuple[str, ...]:
    """Compare an FP32 graph with its rewriting to fp16, bf16, int8 or fp8; returns notes on what was not compared.

    Every node is given base's values. What it reads may differ from them by what rounding to the type explains, and
    what it computes from these is what base's node computes from the same. `representative`: whether `feeds` are like
    what the scales were calibrated with. PrecisionError names the first node where it is not so.
    """
    rewriting = _Rewriting(Walk(base, head, feeds, precision), representative)

    def compare(tensor: Tensor) -> None:
        if rewriting.walk.is_unchanged(tensor):
            return
        reason = rewriting.fault(tensor)
        if reason:
            raise PrecisionError(
                f"{what} changes what {_named(tensor)} computes beyond what {precision} explains: {reason}; "
                f"{hint(tensor.node)}"
            )

    return rewriting.walk.run(compare)


def _named(tensor: Tensor) -> str:
    return f"node {tensor.node.name!r} ({tensor.node.op_type})"


@dataclass(frozen=True, eq=False)
class _Rewriting:
    walk: Walk
    representative: bool

    def fault(self, tensor: Tensor) -> str | None:
        """What the precision does not explain of a tensor, in words."""
        walk, node, twin = self.walk, tensor.node, tensor.twin
        limit = LIMITS[walk.precision]
        if twin is None or subgraphs(node):
            reason = difference(walk.values[tensor.name], walk.head_values(tensor)[tensor.name], limit)
            return reason or _in_branches(walk, tensor, limit)
        renamed = {
            number: name
            for number, name in enumerate(twin.input)
            if name and (name != node.input[number] or walk.is_half(name))
        }
        inner = [name for name in renamed.values() if name not in walk.head.constants]
        values = walk.head_values(tensor, inner)
        given: dict[int, NDArray[Any]] = {}
        for number, name in renamed.items():
            expected = walk.base_value(node.input[number])
            actual = values[name] if name in values else walk.head_constant(name)
            if expected is None or actual is None:
                return difference(walk.values[tensor.name], values[tensor.name], limit)
            given[number] = np.asarray(actual, dtype=expected.dtype)
            reason = self._rounding(node, number, expected, given[number])
            if reason:
                return f"what it reads as {node.input[number]!r} {reason}"
        expected = walk.explained(node, given)[tensor.index] if given else walk.values[tensor.name]
        exact = not walk.is_half(twin.output[tensor.index])
        reason = difference(expected, values[tensor.name], LIMITS["fp32"] if exact else limit)
        return f"from the same inputs its result {tensor.name!r} {reason}" if reason else None

    def _rounding(self, node: onnx.NodeProto, number: int, expected: NDArray[Any], actual: NDArray[Any]) -> str | None:
        if expected.shape != actual.shape:
            return f"has the shape {list(actual.shape)}, not {list(expected.shape)}"
        if expected.dtype.kind != "f":
            return difference(expected, actual, 0.0)
        if self._counts(node) and not np.array_equal(expected, actual) and np.array_equal(expected, np.rint(expected)):
            wrong = np.flatnonzero(expected != actual)[0]
            return f"is a whole number that is rounded: {expected.flat[wrong]:g} becomes {actual.flat[wrong]:g}"
        precision, is_constant = self.walk.precision, node.input[number] in self.walk.base.constants
        if precision in HALVES:
            saturates = is_constant and node.op_type in SATURATING
            return half_rounding(expected, actual, HALVES[precision], saturates=saturates)
        if is_constant or self.representative:
            return quantized_rounding(expected, actual, precision, FORMATS[precision].largest)
        return None

    def _counts(self, node: onnx.NodeProto) -> bool:
        """Whether a node makes integers or truth values of what it reads."""
        return any(name in self.walk.values and self.walk.values[name].dtype.kind != "f" for name in node.output)
