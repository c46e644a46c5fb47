"""Engines that are files: built once in a process of their own, then loaded by every replicate.

So replicates differ by what differs from run to run, not by the tactics that a builder happened to choose, and none
reads half a gigabyte of weights only to find the engine that is built of them already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from inferkit.measure.engine.prepared_network import load_prepared
from inferkit.measure.machine.lease import device_lease

if TYPE_CHECKING:
    from inferkit.backends.base import Engine


@dataclass(frozen=True)
class EngineSpec:
    """What an engine is made of: the folder of a prepared network, the backend, the largest batch, its build options.

    `file` is the engine where it is built already. JSON-able.
    """

    prepared: str
    backend: str
    max_batch: int
    build: Mapping[str, Any] = field(default_factory=dict)
    file: str | None = None


@dataclass(frozen=True)
class EngineJob:
    """What one process does with an engine; each kind of job adds what it needs besides. JSON-able."""

    engine: EngineSpec

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` makes the same job of it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The job that `as_dict` was called on, or one that leaves out what is as by default."""
        return cls(**{**values, "engine": EngineSpec(**values["engine"])})


def build_file(spec: EngineSpec, folder: Path) -> dict[str, Any]:
    """Build the engine, or find it in the backend's cache; returns its `file`. Raises the backend's errors."""
    from inferkit.backends import backend

    builder = backend(spec.backend)
    # Some builders time tactics on the GPU: that would disturb who measures there, and be disturbed.
    with device_lease(builder.device(**{k: v for k, v in spec.build.items() if k == "device"})):
        engine = builder.build(load_prepared(Path(spec.prepared)), spec.max_batch, **spec.build)
    path = engine.path
    if path is None:
        path = folder / f"engine{builder.facts.engine_suffixes[0]}"
        engine.save(path)
    return {"file": str(path)}


def open_engine(spec: EngineSpec) -> Engine:
    """The engine: from its file where there is one, else built here. Raises the backend's errors."""
    from inferkit.backends import backend

    builder = backend(spec.backend)
    if spec.file is not None:
        return builder.load_engine(spec.file)
    return builder.build(load_prepared(Path(spec.prepared)), spec.max_batch, **spec.build)
