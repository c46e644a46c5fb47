"""What the two ways of running share: device, engine, checks of what is fed, errors, and what can be told of a run."""

from __future__ import annotations

import logging
import weakref
from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

from numpy.typing import NDArray

from inferkit.backends.agreement import count_nonfinite
from inferkit.backends.base import Feeds, Session, Trace
from inferkit.backends.feeds import check_feeds
from inferkit.backends.gpus import Gpu
from inferkit.backends.layer_table import LayerTable
from inferkit.backends.tensorrt.device import Device, cuda_errors, open_device
from inferkit.backends.tensorrt.flavour import Flavour
from inferkit.backends.tensorrt.plan import Plan
from inferkit.backends.tensorrt.running.executor import Executor
from inferkit.backends.tensorrt.running.layers import engine_layers
from inferkit.errors import BackendError

# trtexec calls an engine enqueue-bound when submitting takes more than this share of the execution.
ENQUEUE_BOUND = 0.8
_COMPARED_RUNS = 50

_LOG = logging.getLogger("inferkit.tensorrt")
_open_sessions: weakref.WeakSet[GpuSession] = weakref.WeakSet()


@dataclass(frozen=True)
class EnqueueFigures:
    """Plain enqueue beside the graph replay: medians in seconds, and whether submitting is what takes the time."""

    wall: float
    enqueue: float
    compute: float

    @property
    def bound(self) -> bool:
        return is_enqueue_bound(self.enqueue, self.compute)


def is_enqueue_bound(enqueue: float, compute: float) -> bool:
    """Whether the host's time to submit the work (seconds) hides what the GPU takes: then the host is measured."""
    return enqueue > ENQUEUE_BOUND * compute


class GpuSession(Session):
    """A session on one GPU; subclasses say how batches are run. Usable from one thread at a time, any thread."""

    mode: str
    prepares_each_size = True  # a context, its kernels and a captured graph

    def __init__(self, plan: Plan, flavour: Flavour, gpu: Gpu, specialization: str) -> None:
        self.gpu = gpu
        self.device = gpu.uuid
        self.inputs = plan.info.inputs
        self.outputs = plan.info.outputs
        self._profile = plan.info.profile
        self._batch = 0
        self._closed = False
        self._ran = False
        _warn(flavour.caveats(plan.info.precision))
        self._gpu: Device = open_device(gpu)
        with self._gpu.active():
            try:
                self._executor = Executor(plan, flavour, self._gpu, specialization)
                self._allocate()
            except BaseException:
                self._closed = True
                self._release()
                raise
        _open_sessions.add(self)

    def load(self, images: Feeds) -> None:
        """Check and stage one batch (not timed); a batch of another size compiles and captures anew."""
        self._require_open()
        smallest, _, largest = self._profile
        arrays, batch = check_feeds(images, self.inputs, largest, smallest, self._gpu.is_pinned)
        with self._gpu.active():
            changed = batch != self._batch
            self._ran, self._batch = False, 0  # what fails half-way leaves nothing that could be run
            self._stage(arrays, batch, changed)
            self._batch = batch
            self.compiled = self._executor.compiled

    def host_memory(self, rows: int) -> dict[str, NDArray[Any]]:
        """Page-locked arrays, which any session of this GPU and process takes batches from."""
        self._require_open()
        with self._gpu.active():
            return {info.name: self._gpu.pinned(info.shape_at(rows), info.dtype) for info in self.inputs}

    def execute(self) -> Trace:
        """Run the staged batch and wait for it: the timed region."""
        self._require_loaded()
        with self._gpu.active(), cuda_errors(f"running {self._executor.info.network} at batch {self._batch}"):
            trace = self._run()
        self._ran = True
        return trace

    def fetch(self) -> dict[str, NDArray[Any]]:
        """The results of the last execute."""
        self._require_loaded()
        if not self._ran:
            raise BackendError("nothing to fetch: execute() has not run since load()")
        return self._results()

    def close(self) -> None:
        """Free the device's memory; safe to call twice, and done at the process's end if it was not before."""
        if self._closed:
            return
        self._closed = True
        _open_sessions.discard(self)
        with self._gpu.active():
            self._release()

    def memory_bytes(self) -> int | None:
        """The most device memory taken for engine, context, kernels and buffers, as far as it was looked at."""
        self._require_open()
        with self._gpu.active():
            return self._executor.peak_bytes

    def details(self) -> dict[str, Any]:
        """Engine, memory, compilation and how it is launched; runs the engine some more times."""
        self._require_loaded()
        executor = self._executor
        with self._gpu.active(), cuda_errors(f"looking into {executor.info.network}"):
            extra = self._mode_details()
            return {
                "mode": self.mode,
                "gpu": self.gpu.as_dict(),
                "flavour": executor.info.flavour,
                "version": executor.info.version,
                "specialization": executor.specialization if executor.flavour.is_rtx else None,
                "targets": list(executor.info.targets),
                "static": executor.info.static,
                "load_seconds": executor.load_seconds,
                "first_run_seconds": executor.first_seconds,
                "jit_cache": executor.jit,
                "memory": {
                    "engine_bytes": executor.engine_bytes,
                    "context_bytes": executor.context_bytes,
                    "buffer_bytes": self._buffer_bytes(),
                    "peak_bytes": executor.peak_bytes,
                },
                "nonfinite_outputs": count_nonfinite(self._results()),
                **extra,
            }

    def layer_times(self, runs: int) -> LayerTable:
        """By IProfiler, in a context of its own, with what the engine inspector says of each layer."""
        self._require_loaded()
        executor = self._executor
        with self._gpu.active(), cuda_errors(f"profiling {executor.info.network}"):
            seconds = executor.layer_times(self._profiled_buffers(), self._profiled_stream(), runs)
            return engine_layers(executor.inspect(), seconds)

    def layers(self) -> LayerTable:
        """By the engine inspector alone: nothing is run."""
        return engine_layers(self.inspect(), {})

    def inspect(self) -> Any:
        """What the engine inspector says, parsed where it is JSON."""
        self._require_loaded()
        with self._gpu.active():
            return self._executor.inspect()

    @property
    def batch(self) -> int:
        """How many images are staged."""
        return self._batch

    def _require_open(self) -> None:
        if self._closed:
            raise BackendError("the session is closed")

    def _require_loaded(self) -> None:
        self._require_open()
        if not self._batch:
            raise BackendError("nothing is staged: call load() first")

    @abstractmethod
    def _allocate(self) -> None:
        """Streams and buffers, with the context current."""

    @abstractmethod
    def _stage(self, arrays: dict[str, NDArray[Any]], batch: int, changed: bool) -> None:
        """Bring checked arrays to where they are run from, and make ready for `batch` where it `changed`."""

    @abstractmethod
    def _run(self) -> Trace:
        """The timed region."""

    @abstractmethod
    def _results(self) -> dict[str, NDArray[Any]]:
        """Copies of the outputs."""

    @abstractmethod
    def _mode_details(self) -> dict[str, Any]:
        """What only this way of running can tell."""

    @abstractmethod
    def _buffer_bytes(self) -> int:
        """Device memory of the buffers."""

    @abstractmethod
    def _profiled_buffers(self) -> Any:
        """A set of buffers that holds a staged batch."""

    @abstractmethod
    def _profiled_stream(self) -> Any:
        """A stream to profile on."""

    @abstractmethod
    def _free(self) -> None:
        """Free streams, graphs and buffers; called once, also where _allocate failed half-way."""

    def _release(self) -> None:
        self._free()
        executor = getattr(self, "_executor", None)
        if executor is not None:
            executor.close()


def enqueue_figures(traces: list[Trace]) -> EnqueueFigures:
    """Medians of traces that were enqueued one by one."""
    return EnqueueFigures(
        wall=median(trace.wall for trace in traces),
        enqueue=median(trace.enqueue or 0.0 for trace in traces),
        compute=median(trace.compute for trace in traces),
    )


@cache
def _warn(caveats: tuple[str, ...]) -> None:
    """On stderr, where nobody handles logging; once."""
    for caveat in caveats:
        _LOG.warning("%s", caveat)


def close_sessions() -> None:
    """Close what is open still, before Python takes modules apart in any order."""
    for session in list(_open_sessions):
        session.close()
