"""The `[require]` table of the matrix: what a runner must have, so that a run without it does not pass.

[require]
backends = ["tensorrt"]             # each can run here
gpus = ["NVIDIA H200*"]             # names or patterns: a GPU of each is visible
baselines = true                    # every case has a baseline of this machine; or a list of patterns of case ids
precisions = ["int8"]               # no case of it is UNSUPPORTED
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from inferkit.backends import backend_names
from inferkit.errors import UsageError
from inferkit.network.network import PRECISIONS
from inferkit.suite.matrix.definition import Matrix, Requirements
from inferkit.suite.matrix.toml_table import Table


def read_require(table: Table) -> Requirements:
    """What a runner must have; the cases are looked for when the whole matrix is there."""
    every = table.any("baselines")
    if every is True:
        baselines: tuple[str, ...] = ("*",)
    elif every in (None, False):
        baselines = ()
    elif isinstance(every, list) and all(isinstance(pattern, str) for pattern in every):
        baselines = tuple(every)
    else:
        baselines = ()
        table.note(f"must be true, or a list of patterns of case ids, not {every!r}", "baselines")
    require = Requirements(
        backends=table.choices("backends", backend_names(), ()),
        gpus=table.list_of("gpus", str, ()),
        baselines=baselines,
        precisions=table.choices("precisions", PRECISIONS, ()),
        where=table.where(),
    )
    table.finish()
    return require


def both(own: Requirements, included: Requirements) -> Requirements:
    """What either file requires."""
    names = ("backends", "gpus", "baselines", "precisions")
    values: dict[str, Any] = {
        name: tuple(dict.fromkeys([*getattr(own, name), *getattr(included, name)])) for name in names
    }
    return Requirements(**values, where=own.where or included.where)


def check_require(matrix: Matrix) -> None:
    """UsageError for a requirement that no case is about: it would be met by a matrix that lost its cases."""
    cases = [*matrix.all_cases(), *matrix.accuracy_cases()]
    for name, values in (("backend", matrix.require.backends), ("precision", matrix.require.precisions)):
        for value in values:
            if all(getattr(case, name) != value for case in cases):
                raise UsageError(f"{matrix.require.where} {name}s: no case of the matrix has {value!r}")
    for pattern in matrix.require.baselines:
        if not any(fnmatchcase(case.id, pattern) for case in matrix.all_cases()):
            raise UsageError(f"{matrix.require.where} baselines: {pattern!r} matches no case")
