"""Determines which axis of each input and output is the batch: from the names of open dimensions, or as declared.

An axis 1 or later may be it (the state of a recurrent network is often [layers, N, size]); an input may have none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import reduce

# A shape as a file states it: numbers, and the names of open dimensions ("" where the file gives none).
Dims = Sequence[int | str]

# What the batch is named where a file leaves it without a name, or where the user declares it.
DECLARED = "inferkit_batch"

_BATCH = re.compile(r"\w*batch\w*|n|b|bs|bsz|nb|num_?(images|examples)|images?", re.IGNORECASE)
# Names that say that a dimension is something else, whatever axis it is on.
_OTHER = re.compile(
    r"\w*(seq|time|len|frame|token|step|height|width|channel|point|box|roi|patch|audio|feat|vocab|past)\w*|[htwlscd]"
    r"|\w*(node|edge|vert(ex|ic)|atom|anchor|proposal|detection|word)\w*"
    r"|(num_?|n_)(?!_|image|example|sample|instance|record|item|batch)\w+",
    re.IGNORECASE,
)
# Of a table, a batch only where all inputs have as many.
_ROWS = re.compile(r"\w*(row|col|line)s?|\w*column\w*", re.IGNORECASE)
# Made up by exporters, one for each input: such names say nothing.
_AUTOMATIC = re.compile(r"|unk_*\d+|[\w.]*dynamic[\w.]*|\w*dim_?\d+|s\d+", re.IGNORECASE)
_IMAGE_RANK = 4


def batch_names(inputs: Sequence[Dims]) -> frozenset[str]:
    """What the batch is called in these inputs; more than one name where exporters give each input its own.

    In this order: the declared batch; dimensions named as batches are; the one dimension that all inputs with open
    dimensions share; the open first dimension, where no input has another. A name that an input has twice is no batch,
    nor is one that means something else (a length, a height, a count of nodes); rows of a table are none by their place
    alone. Empty where no open dimension is known to be the batch.
    """
    opened = [[dim for dim in dims if isinstance(dim, str)] for dims in inputs]
    opened = [names for names in opened if names]
    if any(DECLARED in names for names in opened):
        return frozenset({DECLARED})
    twice = {name for names in opened for name in names if name and names.count(name) > 1}
    usual = {name for names in opened if (name := usual_name([dim for dim in names if dim not in twice]))}
    if usual:
        return frozenset(usual)
    candidates = [{name for name in names if name not in twice and not _OTHER.fullmatch(name)} for names in opened]
    firsts = {dims[0] for dims in inputs if dims and isinstance(dims[0], str)}
    shared = reduce(set.intersection, candidates, set(candidates[0])) - {""} if len(candidates) > 1 else set()
    if len(shared) > 1:
        shared &= firsts
    if len(shared) == 1:
        return frozenset(shared)
    tables = {dims[0] for dims in inputs if dims and len(dims) != _IMAGE_RANK and _ROWS.fullmatch(str(dims[0]))}
    firsts = {name for name in firsts - tables if any(name in names for names in candidates)}
    alike = len(firsts) == 1 or all(map(is_automatic, firsts))
    return frozenset(firsts) if alike else frozenset()


def is_unnamed_batch(dims: Dims, names: Collection[str]) -> bool:
    """Whether the first dimension of an input, which has no name, is the batch that others call one of `names`.

    It is where these say nothing either, and where it counts images: who names the batch of one input leaves unnamed
    what is another size.
    """
    return len(dims) > 0 and dims[0] == "" and (len(dims) == _IMAGE_RANK or all(map(is_automatic, names)))


def usual_name(dims: Dims) -> str:
    """The open dimension that is named as batches are, "" where none is."""
    names = [dim for dim in dims if isinstance(dim, str) and _BATCH.fullmatch(dim)]
    return next((name for name in names if "batch" in name.lower()), names[0] if names else "")


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
        return [
            _axis(dims, names, of_input=True, or_unnamed_first=is_unnamed_batch(dims, names)) for dims in inputs
        ], named_outputs
    sizes = {dims[0] for dims in inputs if dims}
    size = next(iter(sizes), None) if len(sizes) == 1 else None
    if isinstance(size, int) and (size == 1 or any(dims and dims[0] == size for dims in outputs)):
        return ([0 if dims else None for dims in inputs], [0 if dims and dims[0] == size else None for dims in outputs])
    return [None] * len(inputs), [None] * len(outputs)


def _axis(dims: Dims, names: frozenset[str], *, of_input: bool = False, or_unnamed_first: bool = False) -> int | None:
    matching = [axis for axis, dim in enumerate(dims) if dim in names and dim != ""]
    if len(matching) == 1 or (of_input and matching):
        return matching[0]  # of an output, rows by rows are no batch
    return 0 if or_unnamed_first else None
