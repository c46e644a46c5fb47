"""The files that a matrix names, checked before anything is measured: models, weights, datasets and mean images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from inferkit.errors import InferkitError, UsageError
from inferkit.measure.case import Case
from inferkit.suite.matrix.definition import Matrix, NetworkDefinition

_NAMED = 3  # networks that one line names


def file_problems(networks: Iterable[NetworkDefinition], labelled: Collection[str] = ()) -> list[str]:
    """A line for each file of these networks that is missing or of another kind, with the place in the matrix.

    Files are opened and their outline is read, nothing more. `labelled` are the names of the networks whose dataset
    must have labels. What several networks have in common is told once.
    """
    problems: dict[str, list[NetworkDefinition]] = {}
    for network in networks:
        for problem in _problems_of(network, network.name in labelled):
            problems.setdefault(problem, []).append(network)
    return [f"{affected[0].where} {_names(affected)}: {problem}".lstrip() for problem, affected in problems.items()]


def require_files(matrix: Matrix, cases: Iterable[Case]) -> None:
    """UsageError with a line for each file that is missing or of another kind and that one of these cases needs."""
    wanted = set(cases)
    networks = {id(network): network for case, network in matrix.all_cases().items() if case in wanted}
    problems = file_problems(networks.values())
    if problems:
        raise UsageError("\n".join(problems))


def _problems_of(network: NetworkDefinition, labelled: bool) -> Iterator[str]:
    # Imported only here: reading a matrix that is right must stay fast.
    from inferkit.data.opening import check_dataset
    from inferkit.data.pixels.mean import read_mean
    from inferkit.network.outline import check_files

    try:
        check_files(network.model, network.weights)
    except InferkitError as error:
        yield f"{error}{_near(network.model) or _near(network.weights)}"
    preprocessing = dict(network.preprocessing)
    mean = preprocessing.get("mean")
    if isinstance(mean, str):
        try:
            read_mean(mean)
        except InferkitError as error:
            del preprocessing["mean"]
            yield f"{error}{_near(mean)}"
    if network.dataset is not None:
        try:
            check_dataset(network.dataset, preprocessing, labelled=labelled)
        except InferkitError as error:
            yield f"{error}{_near(network.dataset)}"


def _near(name: str | None) -> str:
    """The file of nearly this name beside one that is missing; empty where there is none."""
    path = Path(name or "")
    if not path.is_absolute() or path.exists() or not path.parent.is_dir():
        return ""
    close = get_close_matches(path.name, [file.name for file in path.parent.iterdir()], 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _names(networks: list[NetworkDefinition]) -> str:
    names = ", ".join(repr(network.name) for network in networks[:_NAMED])
    return names + (f" and {len(networks) - _NAMED} more" if len(networks) > _NAMED else "")
