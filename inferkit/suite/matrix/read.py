"""From matrix.toml to a Matrix: every key checked, every error with file and line, nothing guessed.

include = ["gpu.toml"]              # more networks and backends from files beside this one

[suite]                             # replicates, min_time and time_budget (seconds), builds, confirm, strict
outputs = "close"                   # what is computed must agree with the baseline; "same": to the bit; or "show"
store = "../engines"                # a folder or a URL: where files that are not in git are kept by their SHA-256
[require]                           # backends, gpus, baselines, precisions that must be there
[defaults]                          # values for every network of this file
[[networks]]                        # one per network: five lines add yours
name = "mine"                       # what the case ids say
model = "mine.onnx"                 # or a .prototxt with `weights`, or a zoo name; default: the name
dataset = "val_lmdb"                # a folder, or the name of an embedded dataset
batch_sizes = [1, 8]
precisions = ["fp32", "int8"]
shape = { H = 48, W = 320 }         # sizes that the model leaves open besides the batch
precision_share = "95 %"            # of the work that must run in the precision asked for; or by precision
batch_axis = { state = 1 }          # which axis is the batch, where the model's names do not show it
uint8_input = true                  # pixels are fed, mean and scale are the engine's (uint8_input.py here)
[[services]]                        # a network of this file under MLPerf's scenarios, behind the batcher
network = "mine"
scenarios = ["server", "offline"]   # p99, delay, duration in seconds; max_batch; see ServiceDefinition
[backends.onnxruntime]              # `margins`, `precision_share`, and `build` and `session` arguments
[margins]                           # by metric (margins.py here), and for the cases that match a pattern
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from inferkit.backends import backend, backend_names
from inferkit.content_store import located
from inferkit.errors import InferkitError, UsageError
from inferkit.files import resolved
from inferkit.gate.metrics import ACCURACY, LATENCY, OUTPUT_RULES
from inferkit.gate.stated.margins import metric_names
from inferkit.gate.stated.strict import WORDS, strict_verdicts
from inferkit.network.network import PRECISIONS
from inferkit.serve.load.loadgen import SCENARIOS
from inferkit.suite.matrix.definition import (
    MODES,
    BackendSettings,
    Matrix,
    NetworkDefinition,
    ServiceDefinition,
    SuiteSettings,
)
from inferkit.suite.matrix.files import file_problems
from inferkit.suite.matrix.margins import all_margins, stated_margins, stated_shares
from inferkit.suite.matrix.require import both, check_require, read_require
from inferkit.suite.matrix.selection import CONFIRM
from inferkit.suite.matrix.toml_table import Table, nearest, read_toml
from inferkit.suite.matrix.uint8_input import take_uint8_input

USUAL_FILES = ("matrix.toml", "bench/matrix.toml")  # where commands look for the matrix of a folder
MOST_BUILDS = 6  # of one case: against a baseline of one engine, more add next to nothing

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]*")
_MOST_NETWORKS = 10_000
_LARGEST = 2**31 - 1  # of a dimension
_MOST_AXES = 64
EMBEDDED = "fashion_mnist"


def load_matrix(path: str | os.PathLike[str]) -> Matrix:
    """Read a matrix and what it includes. UsageError with all that does not fit, a line each: file, line and reason.

    Where something does not fit, the files that the matrix names are checked too, so that one list has it all.
    """
    problems: list[str] = []
    matrix = _load(Path(path).absolute(), (), problems)
    if problems:
        raise UsageError("\n".join([*problems, *file_problems(matrix.networks)]))
    return matrix


def _load(path: Path, including: tuple[Path, ...], problems: list[str]) -> Matrix:
    top = read_toml(path)
    top.problems = problems
    folder = path.parent
    included = []
    for name in top.list_of("include", str, ()):
        try:
            included_path = resolved(folder, name)
        except UsageError as error:
            top.note(str(error), "include")
            continue
        if included_path in (*including, path.resolve()):
            top.note(f"{name!r} includes itself", "include")
            continue
        with _noting(problems):
            included.append(_load(included_path, (*including, path.resolve()), problems))
    suite = _suite(top.table("suite"), folder)
    defaults = _network(top.table("defaults"), folder, NetworkDefinition(name="", model=""), is_default=True)
    networks: list[NetworkDefinition] = []
    for table in top.tables("networks"):
        with _noting(problems):
            networks.append(_network(table, folder, defaults))
    services: list[ServiceDefinition] = []
    for table in top.tables("services"):
        with _noting(problems):
            services.append(_service(table))
    backends = _backends(top.table("backends"))
    margins, case_margins = all_margins(top.table("margins"))
    require = read_require(top.table("require"))
    top.finish()
    matrix = Matrix(tuple(networks), backends, margins, case_margins, suite, tuple(services), require)
    for included_matrix in included:
        with _noting(problems):
            matrix = _merged(matrix, included_matrix, top)
    if not problems:  # else what is missing here may stand in what could not be read
        with _noting(problems):
            _check_unique(matrix, top)
            if not including:  # an included file may require what this one declares
                check_require(matrix)
    return matrix


@contextlib.contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    """In this block an error is one more problem."""
    try:
        yield
    except UsageError as error:
        problems.append(str(error))


def _suite(table: Table, folder: Path) -> SuiteSettings:
    default = SuiteSettings()
    store = table.take("store", str)
    try:
        store = None if store is None else located(store, folder)
    except UsageError as error:
        table.note(str(error), "store")
        store = None
    outputs = table.take("outputs", str, default.outputs)
    if outputs not in OUTPUT_RULES:
        table.note(f"{outputs!r} is not supported{nearest(outputs, OUTPUT_RULES)}", "outputs")
        outputs = default.outputs
    settings = SuiteSettings(
        replicates=table.number("replicates", default.replicates, above=0, most=1000, kind=int),
        builds=table.number("builds", default.builds, above=0, most=MOST_BUILDS, kind=int),
        min_time=table.number("min_time", default.min_time, above=0, most=3600),
        time_budget=table.number("time_budget", default.time_budget, above=0, most=1e6),
        reference=table.take("reference", bool, default.reference),
        confirm=table.take("confirm", str, default.confirm),
        confirm_budget=table.number("confirm_budget", default.confirm_budget, above=0, most=1e6),
        store=store,
        outputs=outputs,
        strict=strict_verdicts(table.choices("strict", WORDS, ())),
    )
    if settings.confirm not in CONFIRM:
        table.note(f"must be {', '.join(CONFIRM[:-1])} or {CONFIRM[-1]}, not {settings.confirm!r}", "confirm")
    table.finish()
    return settings


def _network(table: Table, folder: Path, base: NetworkDefinition, *, is_default: bool = False) -> NetworkDefinition:
    """One network; what it does not say is taken from `base`. The defaults may say anything but name and model."""
    name, model, weights = base.name, base.model, base.weights
    if not is_default:
        name = table.take("name", str)
        if name is None:
            raise table.fail("every network needs a name")
        if not _NAME.fullmatch(name):
            table.note(f"{name!r} must be letters, digits, '_' and '.': case ids are made of it", "name")
        model = _path_or_name(table, table.take("model", str, name), folder)
        weights = table.take("weights", str)
        weights = None if weights is None else str(folder / weights)
        if weights and not model.endswith((".prototxt", ".txt", ".pbtxt")):
            table.note(f"only a Caffe prototxt takes weights, not the model {model!r}", "weights")
            weights = None
    dataset = table.take("dataset", str)
    preprocessing = {**base.preprocessing, **_preprocessing(table.table("preprocessing"), folder)}
    uint8_input, preprocessing = take_uint8_input(table, folder, base.uint8_input, preprocessing)
    definition = replace(
        base,
        name=name,
        where=table.where(),
        model=model,
        weights=weights,
        dataset=base.dataset if dataset is None else _dataset(table, dataset, folder),
        preprocessing=preprocessing,
        precisions=table.choices("precisions", PRECISIONS, base.precisions),
        batch_sizes=table.list_of("batch_sizes", int, base.batch_sizes),
        backends=table.choices("backends", backend_names(), base.backends),
        modes=table.choices("modes", MODES, base.modes),
        accuracy=table.take("accuracy", bool, base.accuracy),
        top1=table.number("top1", base.top1, above=0, most=100),
        margins={**base.margins, **stated_margins(table, latency_margin=LATENCY, accuracy_tolerance=ACCURACY)},
        calibration_images=table.number(
            "calibration_images", base.calibration_images, above=0, most=1_000_000, kind=int
        ),
        shape={**base.shape, **_shape(table.table("shape"))},
        batch_axis={**base.batch_axis, **_axes(table.table("batch_axis"))},
        precision_share={**base.precision_share, **stated_shares(table)},
        uint8_input=uint8_input,
    )
    definition = definition if is_default else _with_card(definition)
    if any(not 1 <= size <= 65_536 for size in definition.batch_sizes):
        table.note(f"must be from 1 to 65536, not {list(definition.batch_sizes)}", "batch_sizes")
    table.finish()
    return definition


def _shape(table: Table) -> dict[str, int | tuple[int, ...]]:
    """Sizes of named dimensions, and shapes of inputs; whether the model has them shows when it is loaded."""
    sizes: dict[str, int | tuple[int, ...]] = {}
    for name, value in table.rest().items():
        parts = value if isinstance(value, list) else [value]
        if not parts or any(type(part) is not int or not 1 <= part <= _LARGEST for part in parts):
            raise table.fail(f"must be a size of at least 1, or a list of sizes, not {value!r}", name)
        sizes[name] = tuple(parts) if isinstance(value, list) else value
    return sizes


def _axes(table: Table) -> dict[str, int]:
    axes = table.rest()
    for name, value in axes.items():
        if type(value) is not int or not 0 <= value < _MOST_AXES:
            raise table.fail(f"must be the number of an axis, from 0 on, not {value!r}", name)
    return axes


def _service(table: Table) -> ServiceDefinition:
    """One service. Its network is looked for when the whole matrix is there: an included file may have it."""
    name = table.take("network", str)
    if name is None:
        raise table.fail("every service names its network")
    base = ServiceDefinition(name, tuple(SCENARIOS))
    service = replace(
        base,
        scenarios=table.choices("scenarios", base.scenarios, base.scenarios),
        precisions=table.choices("precisions", PRECISIONS, base.precisions),
        backends=table.choices("backends", backend_names(), base.backends),
        max_batch=table.number("max_batch", base.max_batch, above=0, most=65_536, kind=int),
        delay=table.number("delay", base.delay, above=-1e-9, most=10),
        p99=table.number("p99", base.p99, above=0, most=3600),
        duration=table.number("duration", base.duration, above=0, most=86_400),
        samples=table.number("samples", base.samples, above=0, most=10_000_000, kind=int),
        samples_per_query=table.number("samples_per_query", base.samples_per_query, above=0, most=65_536, kind=int),
        accuracy=table.take("accuracy", bool, base.accuracy),
        margins=stated_margins(table, margin=LATENCY),
    )
    table.finish()
    return service


def _with_card(network: NetworkDefinition) -> NetworkDefinition:
    """What the zoo knows of a network that it has trained on this dataset, where the matrix does not say otherwise."""
    if network.dataset != EMBEDDED or network.weights or network.model.endswith(".onnx"):
        return network
    # Imported only here, as the zoo's catalogue is not needed for networks of the user's own.
    from inferkit.network import zoo

    if network.model not in zoo.names() or not zoo.is_trained(network.model):
        return network
    card = zoo.card(network.model)
    top1 = network.top1 if network.top1 is not None else 100 * card["accuracy"]["caffe"]["top1"]
    return replace(network, preprocessing=network.preprocessing or card["preprocessing"], top1=top1)


def _path_or_name(table: Table, value: str, folder: Path) -> str:
    """An absolute path where the value looks like one or exists beside the matrix, else the name as it is."""
    looks_like_path = bool(re.search(r"[/\\]|\.(onnx|prototxt|pbtxt|txt|mdb|engine|plan)$", value))
    if looks_like_path or os.path.exists(folder / value):
        return _path(table, "model", value, folder)
    return value


def _dataset(table: Table, value: str, folder: Path) -> str:
    """An embedded dataset by name, else a path: one that is not there is then told with the place it was looked for."""
    return value if value == EMBEDDED else _path(table, "dataset", value, folder)


def _path(table: Table, key: str, value: str, folder: Path) -> str:
    try:
        return str(resolved(folder, value))
    except UsageError as error:
        raise table.fail(str(error), key) from error


def _preprocessing(table: Table, folder: Path) -> dict[str, Any]:
    """The fields of a Preprocessing, checked by making one; `mean` is a file and is read when the images are."""
    values = table.rest()
    if values:
        # Imported only here: most matrices name no preprocessing, and collection must stay fast.
        from inferkit.data import Preprocessing

        allowed = [field.name for field in fields(Preprocessing)]
        for key in values:
            if key not in allowed:
                table.note(f"is not a preprocessing option{nearest(key, allowed)}", key)
        values = {key: value for key, value in values.items() if key in allowed}
        mean = values.pop("mean", None)
        try:
            Preprocessing(**values)
        except InferkitError as error:
            table.note(f"is not a valid preprocessing: {error}")
            values = {}  # its files are checked as if it stated none
        if mean is not None:
            if not isinstance(mean, str):
                table.note("is the path of a mean image; means of the channels are mean_values", "mean")
            else:
                values["mean"] = str(folder / mean)
    return values


def _backends(table: Table) -> dict[str, BackendSettings]:
    settings = {}
    for name in table.names():
        if name not in backend_names():
            table.note(f"is not a backend{nearest(name, backend_names())}", name)
        inner = table.table(name)
        settings[name] = BackendSettings(
            build=_settings(inner, name, "build"),
            session=_settings(inner, name, "session"),
            margins=stated_margins(inner, latency_margin=LATENCY),
            precision_share=stated_shares(inner),
        )
        inner.finish()
    return settings


def _settings(table: Table, name: str, of: Literal["build", "session"]) -> dict[str, Any]:
    """Arguments of a backend. What it takes is asked of those alone that say so: a backend of others may not."""
    values: dict[str, Any] = table.take(of, dict, {})
    if values and name in backend_names():
        taken = getattr(backend(name).facts, f"{of}_settings")
        for key in values:
            if taken and key not in taken:
                table.note(f"{name} takes no {key!r}{nearest(key, taken)}", of)
    return values


def _merged(matrix: Matrix, included: Matrix, top: Table) -> Matrix:
    twice = set(matrix.backends) & set(included.backends)
    if twice:
        raise top.fail(f"[backends.{min(twice)}] is declared in this file and in an included one", "include")
    return replace(
        matrix,
        networks=matrix.networks + included.networks,
        backends={**matrix.backends, **included.backends},
        margins={**included.margins, **matrix.margins},
        case_margins=included.case_margins + matrix.case_margins,
        require=both(matrix.require, included.require),
        services=matrix.services + included.services,
    )


def _check_unique(matrix: Matrix, top: Table) -> None:
    if len(matrix.networks) > _MOST_NETWORKS:
        raise top.fail(f"more than {_MOST_NETWORKS} networks")
    seen: set[str] = set()
    for network in matrix.networks:
        ids = {case.id for case in Matrix((network,)).cases()}
        if seen & ids:
            raise top.fail(
                f"the case {min(seen & ids)!r} is declared twice (networks named {network.name!r})", "networks"
            )
        seen |= ids
    if not matrix.networks:
        raise top.fail("declares no [[networks]]")
    names = [network.name for network in matrix.networks]
    for service in matrix.services:
        if service.network not in names:
            raise top.fail(f"the service of {service.network!r} has no such network{nearest(service.network, names)}")
        ids = {case.id for case in Matrix(matrix.networks, services=(service,)).service_cases()}
        if seen & ids:
            raise top.fail(f"the case {min(seen & ids)!r} is declared twice", "services")
        seen |= ids
    for pattern, margins in matrix.case_margins:
        # An accuracy has no batch in its id: a pattern may be of latencies, of accuracies, or of both.
        ids = seen | ({case.id for case in matrix.accuracy_cases()} if ACCURACY in margins else set())
        if not any(fnmatchcase(case_id, pattern) for case_id in ids):
            message = f"the margin pattern {pattern!r} matches no case, and no metric has this name"
            raise top.fail(f"{message}{nearest(pattern, metric_names())}", pattern)
