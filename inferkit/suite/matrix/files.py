"""What a matrix says of files, checked before anything is measured: models, weights, sizes, datasets, mean images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.errors import InferkitError, UsageError, some
from inferkit.measure.case import Case
from inferkit.suite.matrix.definition import Matrix, NetworkDefinition

if TYPE_CHECKING:
    from inferkit.network.network import TensorInfo


def file_problems(networks: Iterable[NetworkDefinition], labelled: Collection[str] = ()) -> list[str]:
    """The lines of `problems_by_networks`."""
    return [line for line, _ in problems_by_networks(networks, labelled)]


def problems_by_networks(
    networks: Iterable[NetworkDefinition], labelled: Collection[str] = ()
) -> list[tuple[str, list[NetworkDefinition]]]:
    """A line for each file of these networks that is missing or of another kind, for each size that none states or that
    the model does not have, and for a dataset that does not fit, with the place in the matrix; and whose it is.

    Files are opened and their outline is read, nothing more. `labelled` are the names of the networks whose dataset
    must have labels. What several networks have in common is told once.
    """
    problems: dict[str, list[NetworkDefinition]] = {}
    for network in networks:
        for problem in _problems_of(network, network.name in labelled):
            problems.setdefault(problem, []).append(network)
    return [
        (f"{affected[0].where} {some([repr(network.name) for network in affected])}: {problem}".lstrip(), affected)
        for problem, affected in problems.items()
    ]


def require_files(matrix: Matrix, cases: Iterable[Case]) -> None:
    """UsageError with a line for each file that is missing or of another kind and that one of these cases needs."""
    wanted = set(cases)
    networks = {id(network): network for case, network in matrix.all_cases().items() if case in wanted}
    problems = file_problems(networks.values())
    if problems:
        raise UsageError("\n".join(problems))


def _problems_of(network: NetworkDefinition, labelled: bool) -> Iterator[str]:
    # Imported only here: reading a matrix that is right must stay fast.
    from inferkit.data.opening import check_dataset, pixels_only
    from inferkit.data.pixels.mean import read_mean
    from inferkit.network.open_dimensions import require_sizes
    from inferkit.network.outline import check_files, inputs_of

    inputs: tuple[TensorInfo, ...] = ()
    try:
        check_files(network.model, network.weights)
        inputs = inputs_of(network.model, network.weights, input_shape=network.shape, batch_axis=network.batch_axis)
        require_sizes(inputs)
    except InferkitError as error:
        yield f"{error}{_near(network.model) or _near(network.weights)}"
    if network.uint8_input and inputs and [info.dtype for info in inputs] != ["float32"]:
        texts = ", ".join(f"{info.name} {info.dtype} {info.text}" for info in inputs)
        yield f"uint8_input needs a network with one input of float32, for images; its inputs are {texts}"
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
            if len(inputs) > 1:
                raise UsageError(f"{network.dataset}: a dataset feeds one input; the network has {len(inputs)}")
            info = next(iter(inputs), None)
            check_dataset(network.dataset, preprocessing, labelled=labelled, info=info)
            if network.uint8_input and info is not None:  # with the mean above, without it as pixels
                check_dataset(network.dataset, pixels_only(preprocessing), info=replace(info, dtype="uint8"))
        except InferkitError as error:
            yield f"{error}{_near(network.dataset)}"


def _near(name: str | None) -> str:
    """The file of nearly this name beside one that is missing; empty where there is none."""
    path = Path(name or "")
    if not path.is_absolute() or path.exists() or not path.parent.is_dir():
        return ""
    close = get_close_matches(path.name, [file.name for file in path.parent.iterdir()], 1)
    return f"; did you mean {close[0]!r}?" if close else ""
