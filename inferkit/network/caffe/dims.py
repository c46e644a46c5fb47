"""Symbolic dimensions: integers, or exact linear expressions of the batch size.

Shape inference with the batch as a symbol shows whether one graph computes what Caffe computes for every batch size.
Where a net fixes the batch (a count that only one batch size divides, a shape that only one fits), the arithmetic
raises MixedBatch instead of guessing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction


class MixedBatch(Exception):
    """The graph would be right for one batch size only; `reason` says why. Caught by the conversion, never shown raw.

    `aborts`: Caffe itself aborts at any other batch size. Otherwise Caffe computes something that no such graph can.
    """

    def __init__(self, reason: str, aborts: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.aborts = aborts


@dataclass(frozen=True)
class BatchDim:
    """factor * N + offset, N being the batch; `at` is the batch that the prototxt states."""

    factor: Fraction
    offset: Fraction
    at: int

    @property
    def concrete(self) -> int:
        """The number that it is for the prototxt's batch."""
        return int(self.factor * self.at + self.offset)

    def __str__(self) -> str:
        if self == BatchDim(Fraction(1), Fraction(0), self.at):
            return "N"
        scaled = "N" if self.factor == 1 else f"{self.factor}*N"
        sign = "+" if self.offset > 0 else "-"
        return scaled if self.offset == 0 else f"{scaled}{sign}{abs(self.offset)}"


Dim = int | BatchDim
Shape = tuple[Dim, ...]


def batch(size: int) -> BatchDim:
    """The batch itself, `size` in the prototxt."""
    return BatchDim(Fraction(1), Fraction(0), size)


def concrete(dim: Dim) -> int:
    """The number that a dimension is for the prototxt's batch."""
    return dim.concrete if isinstance(dim, BatchDim) else dim


def concrete_shape(shape: Shape) -> tuple[int, ...]:
    """The shape in numbers, for the prototxt's batch."""
    return tuple(concrete(dim) for dim in shape)


def show(shape: Shape) -> str:
    """The shape as error messages write it, for the prototxt's batch: [1, 3, 224, 224]."""
    return str(list(concrete_shape(shape)))


def add(left: Dim, right: Dim) -> Dim:
    """left + right."""
    return _combine(left, right, 1)


def subtract(left: Dim, right: Dim) -> Dim:
    """left - right."""
    return _combine(left, right, -1)


def product(dims: Iterable[Dim]) -> Dim:
    """The count of elements; MixedBatch where two factors follow the batch."""
    total: Dim = 1
    for dim in dims:
        if isinstance(total, BatchDim) and isinstance(dim, BatchDim):
            raise MixedBatch("two axes follow the batch size, so their product grows with its square")
        if isinstance(dim, BatchDim):
            total, dim = dim, total
        if isinstance(total, BatchDim):
            assert isinstance(dim, int)
            total = _simplified(total.factor * dim, total.offset * dim, total.at)
        else:
            assert isinstance(dim, int)
            total *= dim
    return total


def divide(total: Dim, part: Dim) -> Dim | None:
    """total / part where it is a whole number, else None; MixedBatch where that depends on the batch."""
    if concrete(part) == 0 or concrete(total) % concrete(part):
        return None
    if isinstance(part, BatchDim):
        above = total if isinstance(total, BatchDim) else BatchDim(Fraction(0), Fraction(total), part.at)
        if above.factor * part.offset != above.offset * part.factor:
            raise MixedBatch(f"{total} is a multiple of {part} only for some batch sizes")
        return _simplified(Fraction(0), above.factor / part.factor, part.at)
    if isinstance(total, BatchDim):
        return _simplified(total.factor / part, total.offset / part, total.at)
    return total // part


def same(left: Dim, right: Dim) -> bool:
    """Whether both are equal for every batch; MixedBatch where they are equal only for the prototxt's."""
    if left == right:
        return True
    if concrete(left) != concrete(right):
        return False
    at = left.at if isinstance(left, BatchDim) else right.at if isinstance(right, BatchDim) else 0
    raise MixedBatch(f"{left} equals {right} only for a batch of {at}", aborts=True)


def same_shape(left: Shape, right: Shape) -> bool:
    """Whether two shapes are equal for every batch; MixedBatch where only for the prototxt's."""
    if concrete_shape(left) != concrete_shape(right):
        return False
    return all(same(a, b) for a, b in zip(left, right, strict=True))


def at_least(left: Dim, right: Dim) -> bool:
    """Whether left >= right; MixedBatch where it holds for the prototxt's batch but not for every one from 1 on."""
    if concrete(left) < concrete(right):
        return False
    gap = subtract(left, right)
    if isinstance(gap, BatchDim) and (gap.factor < 0 or gap.factor + gap.offset < 0):
        raise MixedBatch(f"{left} is at least {right} only for some batch sizes")
    return True


def static(dim: Dim, role: str) -> int:
    """The dimension as a number; MixedBatch where it follows the batch. `role` names it in the note."""
    if isinstance(dim, BatchDim):
        raise MixedBatch(f"{role} follows the batch size")
    return dim


def learned(dim: Dim, role: str) -> int:
    """As `static`, for a dimension of learned blobs: Caffe aborts when it changes."""
    if isinstance(dim, BatchDim):
        raise MixedBatch(f"{role} follows the batch size, but its weights do not", aborts=True)
    return dim


def follows_batch(shape: Shape) -> bool:
    """Whether any dimension follows the batch."""
    return any(isinstance(dim, BatchDim) for dim in shape)


def _combine(left: Dim, right: Dim, sign: int) -> Dim:
    if isinstance(left, BatchDim):
        factor, offset = (right.factor, right.offset) if isinstance(right, BatchDim) else (Fraction(0), Fraction(right))
        return _simplified(left.factor + sign * factor, left.offset + sign * offset, left.at)
    if isinstance(right, BatchDim):
        return _simplified(sign * right.factor, left + sign * right.offset, right.at)
    return left + sign * right


def _simplified(factor: Fraction, offset: Fraction, at: int) -> Dim:
    if factor == 0 and offset.denominator == 1:
        return int(offset)
    return BatchDim(factor, offset, at)
