"""What would stop a run in its middle: found before anything is measured, and told in one list for each matrix."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from inferkit.errors import BaselineError
from inferkit.gate.files.baseline import read_baseline
from inferkit.measure.case import Case
from inferkit.suite.campaign.required import required_problems
from inferkit.suite.campaign.target import availability, fingerprint_of
from inferkit.suite.matrix.definition import AccuracyCase, Matrix, NetworkDefinition
from inferkit.suite.matrix.files import file_problems
from inferkit.suite.matrix.waivers import unmatched
from inferkit.suite.session.options import option, selection
from inferkit.suite.session.pytest_benchmark import is_disabled
from inferkit.suite.session.state import Parameter, Suite

REFUSED = "inferkit_refused"  # marks the report, which may come from a worker of pytest-xdist


class ShownOnce:
    """A text that pytest shows under its headline, and not in its summary too, as it does with plain text in CI."""

    def __init__(self, text: str) -> None:
        self.text = text

    def toterminal(self, tw: Any) -> None:
        """Called by pytest with its terminal writer."""
        tw.line(self.text)

    def __str__(self) -> str:
        return self.text


def refuse_problems(session: pytest.Session, suite: Suite, parameters: Sequence[Parameter]) -> None:
    """Fail the collection where the selected cases need files that are missing, damaged or of another kind.

    Each matrix with problems is one collection error, as pytest shows and counts them: it ends with exit code 2.
    """
    for path in dict.fromkeys(parameter.matrix for parameter in parameters):
        cases = [parameter.case for parameter in parameters if parameter.matrix == path]
        problems = list(_problems_of(suite, suite.matrix(path), cases))
        if problems:
            count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
            lines = [f"{count}; nothing was measured", *(line for problem in problems for line in problem.split("\n"))]
            name = os.path.relpath(path, session.config.rootpath)
            report = pytest.CollectReport(name, "failed", "\n".join(lines), [])
            report.__dict__[REFUSED] = True
            session.config.hook.pytest_collectreport(report=report)


def _problems_of(suite: Suite, matrix: Matrix, cases: Sequence[object]) -> Iterator[str]:
    networks: list[NetworkDefinition] = []
    measured: dict[Case, NetworkDefinition] = {}
    labelled: list[str] = []
    backends: list[str] = []
    for case in cases:
        if isinstance(case, Case):
            measured[case] = matrix.all_cases()[case]
            backends += [case.backend] if availability(case.backend, case.precision).ok else []
        elif isinstance(case, AccuracyCase):
            networks.append(matrix.accuracy_cases()[case])
            labelled.append(case.model)
    needed = {id(network) for network in (*networks, *measured.values())}
    yield from file_problems([network for network in matrix.networks if id(network) in needed], labelled, measured)
    if not is_disabled(suite.config):  # else nothing is judged
        yield from _baseline_problems(suite, matrix, dict.fromkeys(backends))
    yield from _waiver_problems(suite, matrix)
    if not option(suite.config, "ray"):  # else other machines measure, and each case says what they lack
        store = suite.store if suite.needs_baseline and not is_disabled(suite.config) else None
        yield from required_problems(matrix, cases, narrowed=selection(suite.config).narrows, store=store)


def _waiver_problems(suite: Suite, matrix: Matrix) -> Iterator[str]:
    """Waivers that are about no case: neither declared nor in any baseline, which a vanished case is.

    A matrix that was named may be one of several that share the file.
    """
    path = next(path for path, known in suite.matrices.items() if known is matrix)
    waivers = suite.waivers(path)
    if not waivers or option(suite.config, "matrix"):
        return
    cases = {case.id for case in matrix.all_cases()} | {case.id for case in matrix.accuracy_cases()}
    for file in suite.store.files():
        with contextlib.suppress(BaselineError):
            cases |= set(read_baseline(file).cases)
    yield from unmatched(waivers, cases)


def _baseline_problems(suite: Suite, matrix: Matrix, backends: Iterable[str]) -> Iterator[str]:
    folder = Path(suite.store.folder)
    if folder.exists() and not folder.is_dir():
        yield f"{folder}: is not a folder of baselines"
        return
    if (
        option(suite.config, "baseline-dir") and not folder.exists()
    ):  # before the first baseline that is as it should be
        suite.notes.append(f"--baseline-dir {folder}: there is no such folder, so nothing is compared with a baseline")
    for backend in backends:
        try:
            suite.store.find(fingerprint_of(backend, matrix.settings(backend)))
        except BaselineError as error:
            yield f"{error}; restore it from the last commit"
