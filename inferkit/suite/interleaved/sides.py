"""Base and head of an A/B run: what each is made of, and how one replicate of a case of it is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inferkit.backends import DEFAULT_BACKEND, backend, engine_backend, engine_suffixes
from inferkit.errors import InferkitError, UsageError
from inferkit.measure.case import Case
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import prepared_facts
from inferkit.measure.jobs.interpreter import Interpreter, this_interpreter, with_environment
from inferkit.measure.jobs.launch import run_replicate
from inferkit.measure.latency.replicate import Replicate, ReplicateSpec
from inferkit.serve.load.replicate import ServiceSpec, run_service
from inferkit.suite.campaign.artifacts import Artifacts, Step
from inferkit.suite.campaign.digests import digest_of_network
from inferkit.suite.campaign.services import Logs, service_spec
from inferkit.suite.campaign.target import measuring_environment
from inferkit.suite.matrix.definition import Matrix, NetworkDefinition

MODEL_FILES = (".onnx", ".prototxt")
# The precision in the id of a case whose engine is given: it is what it was built as.
AS_BUILT = "engine"


@dataclass(frozen=True)
class Side:
    """Base or head. `by` runs it (None: this Python and this inferkit), `engine` is a file where that is the side.

    `session` and `build` are laid over the matrix's settings. `inject` injects slowdowns, `injected` those of single
    cases by their ids.
    """

    name: str
    matrix: Matrix
    by: Interpreter | None = None
    session: Mapping[str, Any] = field(default_factory=dict)
    build: Mapping[str, Any] = field(default_factory=dict)
    inject: Mapping[str, float] = field(default_factory=dict)
    injected: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    engine: str | None = None


class Bench:
    """Where a side's replicates are measured; keeps its prepared networks until `close`."""

    def __init__(self, side: Side, step: Step, min_time: float) -> None:
        self.side = side
        self.logs = Logs(None)
        self._step = step
        self._min_time = min_time
        self._artifacts = Artifacts(step, side.by)
        self._networks = {case.id: network for case, network in side.matrix.all_cases().items()}
        self._services = {case.id: service for case, service in side.matrix.service_cases().items()}
        self._measured: Counter[str] = Counter()

    def close(self) -> None:
        """Remove the prepared networks."""
        self._artifacts.close()

    def replicate(self, case: Case, what: str, *, details: bool = False) -> Replicate:
        """One more replicate in a fresh process. Raises the errors of `run_replicate` and of the preparation.

        `details` asks for what the backend tells of itself, layer by layer; after the measurement.
        """
        spec = replace(self._spec(case), details=details)
        with self._step(f"{case.id}, {what}"):
            precision = case.precision if self.side.engine is None else _built_as(self.side.engine)
            environment = measuring_environment(case.backend, precision, spec.session)
            by = with_environment(self.side.by, environment)
            name = f"{case.id} ({self.side.name})"
            if case.id not in self._services:
                return run_replicate(spec, name, by=by)
            self._measured[case.id] += 1
            return run_service(self._service_spec(case, spec), name, by=by)

    def prepare(self, case: Case) -> None:
        """Make what the case's replicates need. Raises what stands in the way."""
        self._spec(case)

    def network(self, case: Case) -> str | None:
        """The digest of the case's network, which is made for it; None of an engine that is given, or of old commits.

        Raises what stands in the way.
        """
        if self.side.engine is not None:
            return None
        return digest_of_network(prepared_facts(self._artifacts.network(self._networks[case.id], case.precision)))

    def adopt(self, case: Case, other: Bench) -> None:
        """Take the other's engine of a case where nothing that it is made of differs.

        A builder that chooses by timing makes another engine each time. Where base and head are built of the same by
        the same, their engines differ by chance alone, which is no change.
        """
        if not backend(case.backend).facts.rebuilt_by_timing or self._made_of(case) != other._made_of(case):
            return
        engine = other._spec(case).engine
        folder = self._artifacts.network(self._networks[case.id], case.precision)
        if engine.file is not None:
            self._artifacts.adopt_engine(folder, case.backend, case.batch_size, engine.build, Path(engine.file))

    def _made_of(self, case: Case) -> tuple[Any, ...]:
        """All that the engine of a case depends on; equal to nothing where its network is not known."""
        side = self.side
        return self.network(case) or object(), side.matrix.settings(case.backend).build, side.build, _code(side)

    def _service_spec(self, case: Case, spec: ReplicateSpec) -> ServiceSpec:
        network, service, number = self._networks[case.id], self._services[case.id], self._measured[case.id]
        return service_spec(case, network, service, spec.engine, spec.session, number=number, logs=self.logs)

    def _spec(self, case: Case) -> ReplicateSpec:
        side = self.side
        settings = side.matrix.settings(case.backend)
        build, session = {**settings.build, **side.build}, {**settings.session, **side.session}
        if case.id not in self._services:
            session = case.session_settings(session)
        if side.engine is None:
            folder = self._artifacts.network(self._networks[case.id], case.precision)
            engine = self._artifacts.engine(folder, case.backend, case.precision, case.batch_size, build, case.id)
        else:
            engine = EngineSpec("", case.backend, case.batch_size, build, side.engine)
        inject = {**side.inject, **side.injected.get(case.id, {})}
        return ReplicateSpec(engine, session, min_time=self._min_time, inject=inject)


def _code(side: Side) -> tuple[str, str | None]:
    """The Python and the inferkit that a side runs."""
    by, this = side.by or this_interpreter(), this_interpreter()
    return by.python, by.home or this.home


def _built_as(engine: str) -> str:
    """The precision of an engine file, as far as its metadata can be read: opening it tells what is wrong with it."""
    try:
        return str(engine_backend(engine).read_info(engine)["precision"])
    except InferkitError:
        return AS_BUILT


def file_sides(
    base: Path, head: Path, *, precisions: tuple[str, ...], batch_sizes: tuple[int, ...], backends: tuple[str, ...]
) -> tuple[Side, Side]:
    """Two models, or two engines, as the two sides of cases that bear the head's name.

    UsageError for files that are neither, or one of each.
    """
    kinds = {_kind(base), _kind(head)}
    if len(kinds) != 1:
        raise UsageError(f"{base.name} and {head.name}: a model and an engine; build the model first (inferkit build)")
    engines = kinds == {"engine"}
    if engines:
        if precisions or backends:
            raise UsageError("engine files are what they were built as: leave out --precision and --backend")
        by = [engine_backend(path).name for path in (base, head)]
        if by[0] != by[1]:
            raise UsageError(
                f"{base.name} is an engine of {by[0]}, {head.name} of {by[1]}: build both with one of them"
            )
        backends = (by[0],)
    name = "".join(char if char.isalnum() or char in "_." else "_" for char in head.stem).lstrip("_.") or "model"

    def side_of(path: Path, which: str) -> Side:
        weights = path.with_suffix(".caffemodel")
        network = NetworkDefinition(
            name,
            str(path.absolute()),
            str(weights.absolute()) if path.suffix == ".prototxt" and weights.is_file() else None,
            precisions=(AS_BUILT,) if engines else precisions or ("fp32",),
            batch_sizes=batch_sizes or (1,),
            backends=backends or (DEFAULT_BACKEND,),
            accuracy=False,
        )
        return Side(which, Matrix((network,)), engine=str(path.absolute()) if engines else None)

    return side_of(base, "BASE"), side_of(head, "HEAD")


def _kind(path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    if path.suffix in MODEL_FILES:
        return "model"
    suffixes = engine_suffixes()
    if path.suffix in suffixes:
        return "engine"
    raise UsageError(f"{path}: neither a model ({', '.join(MODEL_FILES)}) nor an engine ({', '.join(suffixes)})")


def is_file_side(word: str) -> bool:
    """Whether a word names a model or engine file rather than a commit."""
    return Path(word).suffix in (*MODEL_FILES, *engine_suffixes())


def with_settings(side: Side, words: Mapping[str, Any]) -> Side:
    """The side with `KEY=VALUE` settings: of the session, or of the build where the key begins with `build.`."""
    build = {key.removeprefix("build."): value for key, value in words.items() if key.startswith("build.")}
    session = {key: value for key, value in words.items() if not key.startswith("build.")}
    return replace(side, session={**side.session, **session}, build={**side.build, **build})
