"""Commits as base and head of an A/B run: for `inferkit ab BASE HEAD`, and for `pytest bench --against REF`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from inferkit.backends import backend, backend_names
from inferkit.errors import InferkitError, UsageError
from inferkit.gate.outcome import Verdict, by_case
from inferkit.gate.rules.interleaved import MARGIN
from inferkit.gate.rules.precision_share import judge_shares
from inferkit.measure.case import Case
from inferkit.measure.jobs.interpreter import Interpreter
from inferkit.suite.campaign.campaign import Campaign
from inferkit.suite.campaign.records import Unsupported
from inferkit.suite.interleaved.run import run_ab
from inferkit.suite.interleaved.sides import Side
from inferkit.suite.interleaved.worktree import checkout, installed
from inferkit.suite.matrix.read import load_matrix
from inferkit.suite.repository import commit_of, repository_of


def commit_side(name: str, folder: Path, matrix: Path, repository: Path, extras: str | None = None) -> Side:
    """The side made of a commit's files in `folder`, with its own matrix, its own inferkit and its own backends.

    A matrix that is not in the repository is the same for all commits. Given `extras` (which may be empty), the commit
    is installed into an environment of its own first. UsageError where the commit lacks the matrix: the file of the
    working tree would name the networks of that tree.
    """
    commit_matrix = folder / matrix.relative_to(repository) if matrix.is_relative_to(repository) else matrix
    if not commit_matrix.is_file():
        raise UsageError(f"it has no {matrix.relative_to(repository)}: commit the matrix where base is to have it")
    # Engines that one commit has built must not serve the other.
    environment = {"INFERKIT_CACHE": str(folder.parent / "cache")}
    home = str(folder) if (folder / "inferkit" / "pytest_plugin.py").is_file() else None
    paths = _own_modules(folder, repository)
    if paths:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [*paths, os.environ.get("PYTHONPATH")]))
    by = Interpreter(home=home, environment=environment)
    if extras is not None:
        by = Interpreter(installed(folder, folder.parent / "venv", extras), None, environment)
    return Side(name, load_matrix(commit_matrix), by)


def _own_modules(folder: Path, repository: Path) -> list[str]:
    """Where the checkout in `folder` has the backends that this process imports from the repository's working tree.

    A project that is installed editable has its own backend there: base's processes must not import head's.
    """
    paths: dict[str, None] = {}
    for name in backend_names():
        try:
            module = sys.modules[type(backend(name)).__module__]
            top = Path(str(sys.modules[module.__name__.partition(".")[0]].__file__)).resolve()
        except (InferkitError, ImportError, KeyError):
            continue  # one that cannot be imported here measures nothing
        root = top.parent.parent if top.name == "__init__.py" else top.parent
        if root.is_relative_to(repository) and module.__name__.partition(".")[0] != "inferkit":
            paths[str(folder / root.relative_to(repository))] = None
    return list(paths)


def run_against(campaign: Campaign, matrix: Path, cases: Sequence[Case], ref: str) -> int:
    """Measure these cases interleaved with the commit `ref`; leave the outcomes in the campaign, return the seed.

    A case that the commit does not have is left to the campaign, which judges it by the stored baseline. UsageError
    where there is no such commit.
    """
    repository = repository_of(matrix.parent)
    commit = commit_of(repository, ref)
    networks = campaign.matrix.cases()
    margins = {case.id: campaign.matrix.latency_margin(case, networks[case], MARGIN) for case in cases}
    seed = int(commit[:8], 16)
    with checkout(repository, commit) as folder:
        base = commit_side("BASE", folder, matrix.resolve(), repository)
        if base.by is not None:
            base.by.check()
        wanted = set(cases)
        result = run_ab(
            base,
            Side("HEAD", campaign.matrix),
            wanted.__contains__,
            margin=margins.__getitem__,
            min_time=campaign.settings.min_time,
            seed=seed,
            progress=campaign.progress,
        )
    outcomes = by_case(result.outcomes)
    for case in cases:
        outcome, *others = outcomes[case.id]
        if outcome.verdict is Verdict.NO_BASELINE:
            continue
        record = campaign.record(case, networks[case], margins[case.id])
        base_replicates, head_replicates = result.replicates.get(case.id, ((), ()))
        record.base_ref, record.base, record.replicates = ref, list(base_replicates), list(head_replicates)
        record.outcome, record.why = outcome, result.layers.get(case.id)
        record.others = tuple(judge_shares(others, [record.measured()] if head_replicates else []))
        if outcome.verdict is Verdict.UNSUPPORTED:
            record.unsupported = Unsupported(outcome.reason, outcome.hint)
        if outcome.verdict is Verdict.FAILED:  # blocks before it failed are no measurement
            record.failure = outcome.reason
        campaign.latency[case] = record
    return seed
