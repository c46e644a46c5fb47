"""Commits as sides of a comparison, each in a worktree of its own; what makes one impossible to measure."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from inferkit.errors import InferkitError
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.measure.case import Case
from inferkit.suite.interleaved.commits import commit_side
from inferkit.suite.interleaved.sides import Side
from inferkit.suite.interleaved.worktree import checkout


class NotMeasurable(InferkitError):
    """A commit that cannot be measured: it does not install, or its matrix cannot be read."""


class NotDeclared(NotMeasurable):
    """A commit that does not have the case."""


@contextlib.contextmanager
def commit_checkout(
    name: str, repository: Path, commit: str, matrix: Path, extras: str | None = None
) -> Iterator[Side]:
    """The commit as the side `name`, while the context lasts. NotMeasurable where it cannot be one, or has no matrix.

    A matrix that is not in the repository is the same for all commits.
    """
    with checkout(repository, commit) as folder:
        if matrix.is_relative_to(repository) and not (folder / matrix.relative_to(repository)).is_file():
            # The file of the user's own tree would name networks of that tree.
            raise NotDeclared(f"it has no {matrix.relative_to(repository)}")
        try:
            side = commit_side(name, folder, matrix, repository, extras)
            if side.by is not None:
                side.by.check()
        except InferkitError as error:
            raise NotMeasurable(str(error)) from error
        yield side


def case_of(side: Side, case: str) -> Case:
    """The declared case of this id. NotDeclared where there is none."""
    for declared in side.matrix.cases():
        if declared.id == case:
            return declared
    raise NotDeclared(f"its matrix does not declare {case}")


def without_folders(reason: str) -> str:
    """A reason without the temporary folders that its files were in: they are gone, and a commit's paths say more."""
    return re.sub(rf"{re.escape(os.path.realpath(tempfile.gettempdir()))}/inferkit-ab-[^/ ]+/[^/ ]+/", "", reason)


def skipped(case: str, metric: str, error: InferkitError, what: str = "") -> Outcome:
    """The outcome of a commit that has no value: MISSING where it does not declare the case, else FAILED."""
    verdict = Verdict.MISSING if isinstance(error, NotDeclared) else Verdict.FAILED
    return Outcome(case, metric, verdict, reason=without_folders(f"{what}{error}"))
