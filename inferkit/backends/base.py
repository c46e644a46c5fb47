"""The interface that every backend fills: an engine is built, opens sessions, and a session runs batches.

A backend needs little: `availability`, `build`, and a session that runs a batch. What else the program must know of it
has a default, and stands in its `facts` or in a method: nowhere else does a backend's name decide anything.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from numpy.typing import NDArray

from inferkit.backends.cores import usable_cores
from inferkit.backends.layer_table import LayerTable
from inferkit.errors import BackendError, EngineError
from inferkit.files import info_path
from inferkit.network.network import Network, TensorInfo

Feeds = NDArray[Any] | Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Trace:
    """One timed region, in seconds: copy in, execute, copy out, synchronize (the study's).

    `wall` is the host clock around the whole region. A part that the backend does not have (copies on a CPU) is 0.0;
    `enqueue` is the host time spent to submit the work, None where nothing is asynchronous.
    """

    host_to_device: float
    compute: float
    device_to_host: float
    wall: float
    enqueue: float | None = None


@dataclass(frozen=True)
class Availability:
    """Whether a backend can run here; if not, why, and what the user can do."""

    ok: bool
    reason: str = ""
    hint: str = ""
    version: str = ""


@dataclass(frozen=True)
class ReferenceNetwork:
    """A small network of the zoo that is measured beside a backend's cases: where it moved too, the machine did.

    Stored times belong to the network and its precision; another batch size wants another network.
    """

    name: str
    precision: str = "fp32"
    batch_size: int = 1


@dataclass(frozen=True)
class Facts:
    """What the program must know of a backend. The defaults are those of one that computes on the CPU.

    `runs_on`: a GPU is leased, so that its cases never meet; latencies on a CPU suffer from what else it does.
    `latency_margin` is how much slower a case may get (0.05: 5 %) where nobody states it. Without a `reference`, bound
    by arithmetic, nothing tells a slower machine from slower software; `memory_reference`, bound by the memory, tells
    what of the machine it was. `engine_suffixes` end the names of engine files, the first those of new ones; without
    any, every process builds its engine. `rebuilt_by_timing`: two builds of one network differ, since the builder times
    what it chooses from; `engine_parts` are the buckets of a fingerprint that an engine depends on; `build_anew` are
    the options of a build that takes nothing from earlier ones.
    `computes_in_fp32` names precisions whose graphs it takes and computes in FP32, for want of kernels: no case fails
    for that. `emulates` names precisions that `build(…, emulate=True)` computes in FP32, right in accuracy and not in
    speed.
    `build_settings` and `session_settings` are what `build` and `Engine.session` take; `path_settings` are those of
    them that may name a file or folder, which is one of this machine.
    """

    runs_on: Literal["cpu", "gpu"] = "cpu"
    # Replicates on a shared CPU differ by 10 % on a bad day: a smaller margin would raise false alarms there.
    latency_margin: float = 0.25
    reference: ReferenceNetwork | None = None
    memory_reference: ReferenceNetwork | None = None
    engine_suffixes: tuple[str, ...] = ()
    rebuilt_by_timing: bool = False
    engine_parts: tuple[str, ...] = ("version", "machine")
    build_anew: Mapping[str, Any] = field(default_factory=dict)
    computes_in_fp32: tuple[str, ...] = ()
    emulates: tuple[str, ...] = ()
    build_settings: tuple[str, ...] = ()
    session_settings: tuple[str, ...] = ()
    path_settings: tuple[str, ...] = ()

    @property
    def on_gpu(self) -> bool:
        """Whether it computes on a GPU."""
        return self.runs_on == "gpu"

    @property
    def keeps_engine_files(self) -> bool:
        """Whether an engine can be a file, which is built once and loaded by many processes."""
        return bool(self.engine_suffixes)


@dataclass(frozen=True)
class EngineInfo:
    """What is known of an engine without opening it. Sizes in bytes, times in seconds.

    `network` is the name of the network, empty where nobody wrote it down.
    """

    backend: str
    precision: str
    max_batch: int
    size_bytes: int | None = None
    build_seconds: float | None = None
    flavour: str | None = None
    version: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    min_batch: int = 1
    network: str = ""


class Session(ABC):
    """An engine ready to run. `load` stages a batch (not timed), `execute` is the timed region, `fetch` reads results.

    Use as a context manager; after `close` every call raises BackendError.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    last_trace: Trace | None = None
    device: str | None = None  # what a device lease is keyed by (a GPU's UUID); None where nothing is exclusive
    batches_per_round: int = 1  # that one `execute` runs: more where it overlaps them; known after the first
    compiled: bool | None = None  # whether `load` had to compile kernels; None where none are compiled at run time
    prepares_each_size: bool = False  # whether a batch of another size takes longer to make ready than many batches

    @abstractmethod
    def load(self, images: Feeds) -> None:
        """Check and stage one batch: an array [N, C, H, W], or a dict of arrays by input name.

        Raises BackendError for a wrong name, shape, type or a batch over the engine's maximum.
        """

    @abstractmethod
    def execute(self) -> Trace:
        """Run the staged batch and wait for its results: the timed region. May be repeated without another load."""

    @abstractmethod
    def fetch(self) -> dict[str, NDArray[Any]]:
        """The results of the last execute, by output name, as arrays of the caller's own."""

    @abstractmethod
    def close(self) -> None:
        """Release memory and processes; safe to call twice."""

    def run(self, images: Feeds) -> dict[str, NDArray[Any]]:
        """load, execute, fetch; the trace of it is in `last_trace`."""
        self.load(images)
        self.last_trace = self.execute()
        return self.fetch()

    def host_memory(self, rows: int) -> dict[str, NDArray[Any]] | None:
        """New arrays for up to `rows` images, by input name, from which `load` takes a batch without copying it.

        A batch lies in their first rows and stays as it is until `execute` has ended; it is not searched for NaN. None
        where there is no such memory: `load` copies whatever it is given.
        """
        return None

    def memory_bytes(self) -> int | None:
        """Device memory that this session holds, None where the backend cannot tell."""
        return None

    def details(self) -> dict[str, Any]:
        """What else the backend knows of this session, JSON-able, for the results; taken outside the timed region.

        May run the engine: call it after the measurement.
        """
        return {}

    def layer_times(self, runs: int) -> LayerTable:
        """Median times of every layer over `runs` runs of the loaded batch; empty where layers cannot be timed.

        Profiling slows an engine down: call it after the measurement.
        """
        return ()

    def layers(self) -> LayerTable:
        """Every layer of the loaded batch's engine and what it computes in; empty where the backend does not say.

        Without times, unless they are needed to know. By them it is judged whether an engine computes in the precision
        that was asked for (precision_share.py).
        """
        return self.layer_times(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Engine(ABC):
    """A built engine. `network` is what it was built from; one that was loaded from a file does not have it.

    Where a backend keeps engine files, `save` writes two: `path`, and its metadata beside it, JSON at `info_path(path)`
    with the backend's name as `backend`.
    """

    network: Network
    info: EngineInfo

    @property
    def path(self) -> Path | None:
        """Where the engine's file lies; None for one in memory."""
        return None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the engine and its metadata. BackendError where the backend keeps no engine files."""
        raise BackendError(f"{self.info.backend} makes its engines when they are opened: there is nothing to write")

    @abstractmethod
    def session(self, **settings: Any) -> Session:
        """Open a session; what `settings` means is each backend's (threads, device, mode)."""


class Backend(ABC):
    """A way to compute: says whether it can run here, and builds engines. Found by entry points (backends/__init__)."""

    name: str
    precisions: tuple[str, ...]
    facts: Facts = Facts()

    @abstractmethod
    def availability(self, precision: str = "fp32") -> Availability:
        """Whether this backend can run `precision` on this machine. Never raises, never imports at module level."""

    @abstractmethod
    def build(self, network: Network, max_batch: int, **options: Any) -> Engine:
        """Build an engine for batches of 1 to `max_batch`.

        Raises BackendUnavailable where it cannot run here, BackendError with the builder's messages where it fails.
        """

    def device(self, **settings: Any) -> str | None:
        """What a lease must be keyed by before a session with these settings is opened: a GPU's UUID.

        None where nothing is exclusive. Raises BackendUnavailable or UsageError where there is no such device.
        """
        return None

    def environment(self, precision: str) -> dict[str, str]:
        """What must be in a process's environment before it starts, for this backend to compute at `precision`."""
        return {}

    def alone(self, **settings: Any) -> dict[str, str]:
        """What lets a process that opens a session with these settings see no other device than that session's."""
        return {}

    def fingerprint_parts(self, build: Mapping[str, Any], session: Mapping[str, Any]) -> dict[str, object]:
        """What latencies with these settings belong to, beside the host, the backend's name and its version.

        In buckets that are set, never measured; None for what is not known. By default how many threads compute.
        """
        return {"threads": session.get("threads") or build.get("threads") or usable_cores()}

    def probe(self, network: Network, max_batch: int) -> Session:
        """A session that shows inner values: `network` has them among its outputs, and is computed as it says.

        Outputs that the backend cannot show are left out. Raises what `build` does.
        """
        return self.build(network, max_batch).session()

    def load_engine(self, path: str | os.PathLike[str]) -> Engine:
        """The engine in a file. EngineError where file or metadata are missing, damaged or foreign."""
        raise EngineError(f"{path}: {self.name} keeps no engine files")

    def read_info(self, path: str | os.PathLike[str], *, verify: bool = False) -> dict[str, Any]:
        """The metadata beside an engine file, JSON-able; `verify`: checked against the file's bytes.

        At least `network`, `precision` and `profile` (smallest, best and largest batch). EngineError as `load_engine`.
        """
        raise EngineError(f"{path}: {self.name} keeps no engine files")

    def owns(self, path: str | os.PathLike[str]) -> bool:
        """Whether an engine file is this backend's, by the metadata beside it; False where there is none."""
        return metadata_of(path).get("backend") == self.name


def metadata_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON object beside an engine file, unchecked; empty where there is none."""
    try:
        found = json.loads(info_path(path).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
