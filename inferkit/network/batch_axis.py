"""Determines which axis of each input and output is the batch: from the names of open dimensions, or as declared.

An axis 1 or later may be it (the state of a recurrent network is often [layers, N, size]); an input may have none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce

# A shape as a file states it: numbers, and the names of open dimensions ("" where the file gives none).
Dims = Sequence[int | str]

# What the batch is named where a file leaves it without a name, or where the user declares it.
DECLARED = "inferkit_batch"

_BATCH = re.compile(r"\w*batch\w*|n|b|bs|bsz|nb|num_?(images|examples)|images?", re.IGNORECASE)
# Names that say that a dimension is something else, whatever axis it is on.
_OTHER = re.compile(
    r"\w*(seq|time|len|frame|token|step|height|width|channel|point|box|roi|patch|audio|feat|vocab|past)\w*|[htwlscd]",
    re.IGNORECASE,
)
# Made up by exporters, one for each input: such names say nothing.
_AUTOMATIC = re.compile(r"|unk_*\d+|[\w.]*dynamic[\w.]*|\w*dim_?\d+", re.IGNORECASE)


def batch_names(inputs: Sequence[Dims]) -> frozenset[str]:
    """What the batch is called in these inputs; more than one name where exporters give each input its own.

    In this order: the declared batch; dimensions named as batches are; the one dimension that all inputs with open
    dimensions share; the open first dimension. A name that an input has twice is no batch, nor is one that means
    something else (a length, a height). Empty where no open dimension is known to be the batch.
    """
    opened = [[dim for dim in dims if isinstance(dim, str)] for dims in inputs]
    opened = [names for names in opened if names]
    if any(DECLARED in names for names in opened):
        return frozenset({DECLARED})
    twice = {name for names in opened for name in names if name and names.count(name) > 1}
    usual = [[name for name in names if name not in twice and _BATCH.fullmatch(name)] for names in opened]
    if any(usual):
        spelled = [[name for name in names if "batch" in name.lower()] or names[:1] for names in usual]
        return frozenset(names[0] for names in spelled if names)
    candidates = [{name for name in names if name not in twice and not _OTHER.fullmatch(name)} for names in opened]
    firsts = {dims[0] for dims in inputs if dims and isinstance(dims[0], str)}
    shared = reduce(set.intersection, candidates, set(candidates[0])) - {""} if len(candidates) > 1 else set()
    if len(shared) > 1:
        shared &= firsts
    if len(shared) == 1:
        return frozenset(shared)
    firsts = {name for name in firsts if any(name in names for names in candidates)}
    alike = len(firsts) == 1 or all(map(is_automatic, firsts))
    return frozenset(firsts) if alike else frozenset()


def is_automatic(name: str) -> bool:
    """Whether a dimension has no name, or one that says nothing."""
    return bool(_AUTOMATIC.fullmatch(name))


def batch_axes(inputs: Sequence[Dims], outputs: Sequence[Dims]) -> tuple[list[int | None], list[int | None]]:
    """The batch's axis of each input and output; None for one that has no batch.

    Where no dimension is open, the first axis is the batch if all inputs agree on its size and it is 1, or also the
    first of an output.
    """
    names = batch_names(inputs)
    if names or any(dims and dims[0] == "" for dims in inputs):
        named_outputs = [_axis(dims, names) for dims in outputs]
        if names <= {""}:  # nothing tells an output's open first dimension from the batch
            named_outputs = [0 if dims and dims[0] == "" else None for dims in outputs]
        return [_axis(dims, names, or_unnamed_first=True) for dims in inputs], named_outputs
    sizes = {dims[0] for dims in inputs if dims}
    size = next(iter(sizes), None) if len(sizes) == 1 else None
    if isinstance(size, int) and (size == 1 or any(dims and dims[0] == size for dims in outputs)):
        return ([0 if dims else None for dims in inputs], [0 if dims and dims[0] == size else None for dims in outputs])
    return [None] * len(inputs), [None] * len(outputs)


def _axis(dims: Dims, names: frozenset[str], *, or_unnamed_first: bool = False) -> int | None:
    matching = [axis for axis, dim in enumerate(dims) if dim in names and dim != ""]
    found = matching[0] if len(matching) == 1 or (or_unnamed_first and matching) else None  # rows by rows are no batch
    unnamed = or_unnamed_first and len(dims) > 0 and dims[0] == ""
    return 0 if found is None and unnamed else found
