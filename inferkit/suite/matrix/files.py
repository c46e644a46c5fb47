"""What a matrix says of files, checked before anything is measured: models, weights, sizes, datasets, mean images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.errors import InferkitError, UsageError, some
from inferkit.measure.case import Case
from inferkit.suite.matrix.definition import MODES, Matrix, NetworkDefinition

if TYPE_CHECKING:
    from inferkit.network.network import TensorInfo


def file_problems(
    networks: Iterable[NetworkDefinition],
    labelled: Collection[str] = (),
    cases: Mapping[Case, NetworkDefinition] | None = None,
) -> list[str]:
    """The lines of `problems_by_networks`."""
    return [line for line, _ in problems_by_networks(networks, labelled, cases)]


def problems_by_networks(
    networks: Iterable[NetworkDefinition],
    labelled: Collection[str] = (),
    cases: Mapping[Case, NetworkDefinition] | None = None,
) -> list[tuple[str, list[NetworkDefinition]]]:
    """A line for each file of these networks that is missing or of another kind, for each size that none states or that
    the model does not have, for batch sizes that it cannot take, and for a dataset that does not fit, with the place in
    the matrix; and whose it is.

    Files are opened and their outline is read, nothing more. `labelled` are the names of the networks whose dataset
    must have labels, `cases` those that are wanted (default: all that a network declares). What several networks have
    in common is told once.
    """
    problems: dict[str, list[NetworkDefinition]] = {}
    for network in networks:
        own = Matrix((network,)).cases() if cases is None else [c for c, of in cases.items() if of is network]
        for problem in _problems_of(network, network.name in labelled, own):
            problems.setdefault(problem, []).append(network)
    return [
        (f"{affected[0].where} {some([repr(network.name) for network in affected])}: {problem}".lstrip(), affected)
        for problem, affected in problems.items()
    ]


def require_files(matrix: Matrix, cases: Iterable[Case]) -> None:
    """UsageError with a line for each file that is missing or of another kind and that one of these cases needs."""
    wanted = set(cases)
    of = {case: network for case, network in matrix.all_cases().items() if case in wanted}
    problems = file_problems({id(network): network for network in of.values()}.values(), cases=of)
    if problems:
        raise UsageError("\n".join(problems))


def _problems_of(network: NetworkDefinition, labelled: bool, cases: Collection[Case]) -> Iterator[str]:
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
    else:
        yield from _batch_problems(network.model, inputs, cases)
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


def _batch_problems(model: str, inputs: Collection[TensorInfo], cases: Iterable[Case]) -> Iterator[str]:
    """Batch sizes of cases that a model cannot take: its batch is fixed, or there is none."""
    from inferkit.measure.images import require_batch

    fixed = next((info for info in inputs if info.batch is not None), None)
    if fixed is not None:
        # The batcher of a service fills a smaller batch up.
        only = fixed.batch or 1
        wrong = {c.batch_size for c in cases if c.batch_size > only or (c.mode in MODES and c.batch_size != only)}
        if wrong:
            yield (
                f"{model}: takes batches of {fixed.batch} only (input {fixed.name!r} is {fixed.text}), not of "
                f"{', '.join(map(str, sorted(wrong)))}; write `batch_sizes = [{fixed.batch}]`, or export the model "
                "with an open batch"
            )
        return
    try:
        require_batch({info.name: info.batch_axis for info in inputs}, max((c.batch_size for c in cases), default=1))
    except UsageError as error:
        yield f"{model}: {error}"


def _near(name: str | None) -> str:
    """The file of nearly this name beside one that is missing; empty where there is none."""
    path = Path(name or "")
    if not path.is_absolute() or path.exists() or not path.parent.is_dir():
        return ""
    close = get_close_matches(path.name, [file.name for file in path.parent.iterdir()], 1)
    return f"; did you mean {close[0]!r}?" if close else ""
