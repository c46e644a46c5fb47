"""What a campaign makes before it measures, each once: networks at a precision, and engine files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from contextvars import Context, copy_context
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from inferkit.backends import backend as backend_named
from inferkit.backends.cores import usable_cores
from inferkit.errors import BackendUnavailable, InferkitError, MeasurementError
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import Recipe
from inferkit.measure.jobs.interpreter import Interpreter, with_environment
from inferkit.measure.jobs.launch import build_engine_file, end_jobs, prepare_network
from inferkit.progress import listening, tell
from inferkit.suite.campaign.target import environment_of
from inferkit.suite.matrix.definition import NetworkDefinition

# Of a network's preparation only calibrating uses several cores, and a large network takes some GiB.
_CORES_PER_NETWORK, _MOST_AT_ONCE = 4, 4

# Shows one step while it runs.
Step = Callable[[str], AbstractContextManager[Any]]


def own_cache(engine: str | None, number: int | None) -> dict[str, str]:
    """The environment in which what one build of several has compiled at run time serves no other."""
    return {} if engine is None or number is None else {"INFERKIT_CACHE": str(Path(engine).parent / "cache")}


def _preparing(recipe: Recipe) -> str:
    return f"{recipe.name} at {recipe.precision}, preparing"


def _key(spec: EngineSpec, number: int | None) -> str:
    return f"{spec!r}, {number}"


class Artifacts:
    """A temporary folder of prepared networks and engines. What could not be made is remembered with its reason.

    `by` makes them, where it is not this Python.
    """

    def __init__(self, step: Step, by: Interpreter | None = None) -> None:
        self._step = step
        self._by = by
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._made: dict[str, Path | InferkitError] = {}

    def close(self) -> None:
        """Remove everything."""
        if self._folder is not None:
            self._folder.cleanup()
        self._folder, self._made = None, {}

    def network(self, network: NetworkDefinition, precision: str) -> Path:
        """The folder of the network at this precision. MeasurementError where it cannot be made, at every call."""
        recipe = self._recipe(network, precision)

        def make(folder: Path) -> Path:
            with self._step(_preparing(recipe)):
                prepare_network(recipe, folder, by=self._by)
            return folder

        return self._once(repr(recipe), make)

    def prepare(self, wanted: Iterable[tuple[NetworkDefinition, str]]) -> None:
        """Make networks at their precisions ready, several at once where there are cores enough, for `network` later.

        For when nothing is built or measured: both would be disturbed. What cannot be made is an error of `network`.
        """
        recipes = {repr(recipe): recipe for recipe in (self._recipe(*each) for each in wanted)}
        recipes = {key: recipe for key, recipe in recipes.items() if key not in self._made}
        at_once = min(usable_cores() // _CORES_PER_NETWORK, _MOST_AT_ONCE, len(recipes))
        if at_once < 2:
            return
        shown: dict[str, Context] = {}  # of the step that is shown, once it is

        def make(key: str, folder: Path) -> Path:
            def pass_on(what: str, done: int, total: int | None) -> None:
                if key in shown:
                    shown[key].run(tell, what, done, total)

            with listening(pass_on):
                prepare_network(recipes[key], folder, by=self._by)
            return folder

        def result(key: str, _: Path) -> Path:
            with self._step(_preparing(recipes[key])):
                shown[key] = copy_context()
                return made[key].result()

        pool = ThreadPoolExecutor(at_once)
        made = {
            key: pool.submit(make, key, self._root / f"network-{len(self._made) + index}")
            for index, key in enumerate(recipes)
        }
        try:
            for key in recipes:
                with suppress(BackendUnavailable, MeasurementError):  # remembered
                    self._once(key, partial(result, key))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_jobs()
            raise
        finally:
            pool.shutdown()

    def engine(
        self,
        prepared: Path,
        backend: str,
        precision: str,
        max_batch: int,
        build: Mapping[str, Any],
        name: str,
        number: int | None = None,
    ) -> EngineSpec:
        """What the engine is opened from: its file, or where the backend keeps no files what each process builds it of.

        With a `number` it is that build of several, each made anew: neither from the cache of engines nor with timings
        of an earlier build. What is compiled at run time lies in `own_cache` of its file.
        Raises BackendUnavailable and MeasurementError where it cannot be built, at every call.
        """
        ready = spec = EngineSpec(str(prepared), backend, max_batch, build)
        facts = backend_named(backend).facts
        if not facts.keeps_engine_files:
            return ready
        what = name
        if number is not None:
            spec = replace(spec, build={**build, **facts.build_anew})
            what = f"{name}, build {number + 1}"

        def make(folder: Path) -> Path:
            with self._step(f"{what}, building"):
                by = with_environment(self._by, environment_of(backend, precision))
                return Path(build_engine_file(spec, folder, name, by=by))

        return replace(ready, file=str(self._once(_key(spec, number), make)))

    def adopt_network(self, network: NetworkDefinition, precision: str, folder: Path) -> None:
        """Take a prepared network that another machine has made."""
        self._made[repr(self._recipe(network, precision))] = folder

    def adopt_engine(self, prepared: Path, backend: str, max_batch: int, build: Mapping[str, Any], path: Path) -> None:
        """Take an engine's file that another machine of this kind has built from the prepared network."""
        self._made[_key(EngineSpec(str(prepared), backend, max_batch, build), None)] = path

    @property
    def _root(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="inferkit-suite-")
        return Path(self._folder.name)

    def _recipe(self, network: NetworkDefinition, precision: str) -> Recipe:
        return Recipe(
            network.name,
            network.model,
            precision,
            network.weights,
            network.dataset,
            network.preprocessing,
            network.calibration_images,
            images=max(network.batch_sizes),
            shape=dict(network.shape) or None,
            batch_axis=dict(network.batch_axis) or None,
            uint8_input=network.uint8_input,
        )

    def _once(self, key: str, make: Callable[[Path], Path]) -> Path:
        if key not in self._made:
            folder = self._root / str(len(self._made))
            folder.mkdir()
            try:
                self._made[key] = make(folder)
            except (BackendUnavailable, MeasurementError) as error:
                self._made[key] = error
        made = self._made[key]
        if isinstance(made, InferkitError):
            raise made
        return made
