"""The interface that every backend fills: an engine is built, opens sessions, and a session runs batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

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
class EngineInfo:
    """What is known of an engine without opening it. Sizes in bytes, times in seconds."""

    backend: str
    precision: str
    max_batch: int
    size_bytes: int | None = None
    build_seconds: float | None = None
    flavour: str | None = None
    version: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    min_batch: int = 1


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

        May run the engine (per-layer times): call it after the measurement.
        """
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Engine(ABC):
    """A built engine. `network` is what it was built from."""

    network: Network
    info: EngineInfo

    @abstractmethod
    def session(self, **settings: Any) -> Session:
        """Open a session; what `settings` means is each backend's (threads, device, mode)."""


class Backend(ABC):
    """A way to compute: says whether it can run here, and builds engines."""

    name: str
    precisions: tuple[str, ...]

    @abstractmethod
    def availability(self, precision: str = "fp32") -> Availability:
        """Whether this backend can run `precision` on this machine. Never raises, never imports at module level."""

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

    @abstractmethod
    def build(self, network: Network, max_batch: int, **options: Any) -> Engine:
        """Build an engine for batches of 1 to `max_batch`.

        Raises BackendUnavailable where it cannot run here, BackendError with the builder's messages where it fails.
        """
