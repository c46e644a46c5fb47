"""Latency mode: the study's sequence, one batch at a time: copy in, execute, copy out, synchronize."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from inferkit.backends.base import Trace
from inferkit.backends.feeds import address_of
from inferkit.backends.gpus import Gpu
from inferkit.backends.tensorrt.flavour import Flavour
from inferkit.backends.tensorrt.plan import Plan
from inferkit.backends.tensorrt.running.buffers import BufferSet
from inferkit.backends.tensorrt.running.cuda_graph import CudaGraph, GraphEvent, check, elapsed_seconds
from inferkit.backends.tensorrt.running.replay import WrongResults, check_replay
from inferkit.backends.tensorrt.running.session import _COMPARED_RUNS, GpuSession, enqueue_figures
from inferkit.errors import BackendError, BackendUnavailable, UsageError

LAUNCHES = ("auto", "graph", "enqueue")

# Places that batches come from whose graphs are kept: a service has two or three.
_MOST_WAYS = 8

_clock = time.perf_counter


@dataclass(eq=False)
class _Way:
    """How batches from one place in host memory are run; `sources` are the batch's rows there, input by input."""

    sources: tuple[NDArray[Any], ...]
    enqueue: Callable[[], Trace]
    run: Callable[[], Trace]
    launch: str = "enqueue"
    note: str = ""
    replay_difference: float | None = None
    graph: CudaGraph | None = None
    events: list[GraphEvent] = field(default_factory=list)

    def close(self) -> None:
        graph, self.graph = self.graph, None
        if graph is not None:
            graph.close()
        events, self.events = self.events, []
        for event in events:
            event.close()


class LatencySession(GpuSession):
    """`launch`: `graph` replays the whole sequence as one CUDA graph, `enqueue` submits it piece by piece as the study
    did; `auto` is graph where the engine can be captured and cuda-python is installed, and says so in `launch`.
    """

    mode = "latency"

    def __init__(self, plan: Plan, flavour: Flavour, gpu: Gpu, *, launch: str = "auto", specialization: str) -> None:
        if launch not in LAUNCHES:
            raise UsageError(f"launch is one of {', '.join(LAUNCHES)}, not {launch!r}")
        self._wanted = launch
        self._buffers: BufferSet | None = None
        self._ways: dict[tuple[int, ...], _Way] = {}
        self._way: _Way | None = None
        super().__init__(plan, flavour, gpu, specialization)

    def execute_enqueued(self) -> Trace:
        """The same sequence submitted piece by piece, whatever `launch` is: what a graph replay is compared with."""
        self._require_loaded()
        assert self._way is not None
        with self._gpu.active():
            trace = self._way.enqueue()
        self._ran = True
        return trace

    def _allocate(self) -> None:
        cuda = self._gpu.cuda
        self._stream = cuda.Stream()
        self._events = [cuda.Event() for _ in range(4)]
        self._buffers = BufferSet(self._gpu, self.inputs, self.outputs, self._profile[2])

    @property
    def launch(self) -> str:
        """How the staged batch is launched: `graph` or `enqueue`; what was asked for, before one is staged."""
        return self._wanted if self._way is None else self._way.launch

    @property
    def launch_note(self) -> str:
        """Why it is not a graph where that was left open."""
        return "" if self._way is None else self._way.note

    @property
    def replay_difference(self) -> float | None:
        """The largest relative difference between results of one batch run several times, replayed and enqueued."""
        return None if self._way is None else self._way.replay_difference

    def _stage(self, arrays: dict[str, NDArray[Any]], batch: int, changed: bool) -> None:
        assert self._buffers is not None
        self._way = None
        if changed:
            self._drop_ways()
        fed = tuple(arrays[info.name] for info in self.inputs)
        if all(self._gpu.is_pinned(array) for array in fed):
            sources = fed
        else:
            self._buffers.stage(arrays, batch)
            sources = tuple(binding.at(batch) for binding in self._buffers.inputs)
        place = tuple(address_of(array) for array in sources)
        if place not in self._ways:
            if len(self._ways) == _MOST_WAYS:
                self._ways.pop(next(iter(self._ways))).close()
            self._executor.prepare(batch, self._buffers, self._stream)
            self._ways[place] = self._make_way(sources, batch)
        self._way = self._ways[place]

    def _make_way(self, sources: tuple[NDArray[Any], ...], batch: int) -> _Way:
        """Capture the sequence for batches that lie in `sources`, or leave it to be enqueued."""
        copy_in, copy_out = self._copies(sources, batch)
        enqueue = self._make_enqueue_runner(copy_in, copy_out)
        enqueue()
        way = _Way(sources, enqueue, enqueue)
        if self._wanted == "enqueue":
            self._check_replay(enqueue, None, batch)
            return way
        try:
            self._capture(way, copy_in, copy_out)
            way.replay_difference = self._check_replay(enqueue, way.run, batch)
            way.launch = "graph"
        except (BackendError, BackendUnavailable) as error:
            way.close()
            if self._wanted == "graph" or isinstance(error, WrongResults):
                raise
            way.run, way.note = enqueue, str(error)
            self._check_replay(enqueue, None, batch)
        return way

    def _run(self) -> Trace:
        assert self._way is not None
        return self._way.run()

    def _results(self) -> dict[str, NDArray[Any]]:
        assert self._buffers is not None
        return self._buffers.results(self._batch)

    def _check_replay(self, enqueue: Callable[[], Trace], replay: Callable[[], Trace] | None, batch: int) -> float:
        buffers = self._buffers
        assert buffers is not None

        def results_of(run: Callable[[], Trace]) -> dict[str, NDArray[Any]]:
            buffers.poison()
            run()
            return buffers.results(batch)

        replayed = None if replay is None else lambda: results_of(replay)
        return check_replay(lambda: results_of(enqueue), replayed, self._executor.info.network)

    def _copies(self, sources: tuple[NDArray[Any], ...], batch: int) -> tuple[Callable[[], None], Callable[[], None]]:
        """Functions that submit the copies of one batch, with everything looked up beforehand."""
        assert self._buffers is not None
        to_device, to_host = self._gpu.cuda.memcpy_htod_async, self._gpu.cuda.memcpy_dtoh_async
        stream = self._stream
        inputs = [(binding.device, source) for binding, source in zip(self._buffers.inputs, sources, strict=True)]
        outputs = [(binding.at(batch), binding.device) for binding in self._buffers.outputs]

        def copy_in() -> None:
            for device, host in inputs:
                to_device(device, host, stream)

        def copy_out() -> None:
            for host, device in outputs:
                to_host(host, device, stream)

        return copy_in, copy_out

    def _make_enqueue_runner(self, copy_in: Callable[[], None], copy_out: Callable[[], None]) -> Callable[[], Trace]:
        stream, executor = self._stream, self._executor
        execute, handle = executor.context.execute_async_v3, stream.handle
        began, copied, executed, ended = self._events
        synchronize, clock = stream.synchronize, _clock

        def run() -> Trace:
            start = clock()
            began.record(stream)
            copy_in()
            copied.record(stream)
            accepted = execute(handle)
            executed.record(stream)
            copy_out()
            ended.record(stream)
            submitted = clock()
            synchronize()
            end = clock()
            if not accepted:
                executor.refused()
            return Trace(
                host_to_device=began.time_till(copied) / 1e3,
                compute=copied.time_till(executed) / 1e3,
                device_to_host=executed.time_till(ended) / 1e3,
                wall=end - start,
                enqueue=submitted - start,
            )

        return run

    def _capture(self, way: _Way, copy_in: Callable[[], None], copy_out: Callable[[], None]) -> None:
        """Let `way` replay the sequence as a graph. BackendError where it cannot be captured."""
        way.events = [GraphEvent() for _ in range(4)]
        began, copied, executed, ended = way.events

        def sequence(stream: Any) -> None:
            began.record(stream)
            copy_in()
            copied.record(stream)
            self._executor.enqueue(self._stream)
            executed.record(stream)
            copy_out()
            ended.record(stream)

        way.graph = CudaGraph(self._stream, sequence)
        launch, synchronize, clock = way.graph.launcher(), self._stream.synchronize, _clock

        def run() -> Trace:
            start = clock()
            (status,) = launch()
            submitted = clock()
            synchronize()
            end = clock()
            if status:
                check(status, "cuGraphLaunch")
            return Trace(
                host_to_device=elapsed_seconds(began, copied),
                compute=elapsed_seconds(copied, executed),
                device_to_host=elapsed_seconds(executed, ended),
                wall=end - start,
                enqueue=submitted - start,
            )

        way.run = run

    def _mode_details(self) -> dict[str, Any]:
        assert self._way is not None
        figures = enqueue_figures([self._way.enqueue() for _ in range(_COMPARED_RUNS)])
        return {
            "launch": self.launch,
            "launch_note": self.launch_note,
            "replay_difference": self.replay_difference,
            "capturable": self._executor.capturable(self._stream),
            "plain_enqueue": {
                "wall_median": figures.wall,
                "enqueue_median": figures.enqueue,
                "compute_median": figures.compute,
                "enqueue_bound": figures.bound,
            },
        }

    def _buffer_bytes(self) -> int:
        return self._buffers.device_bytes if self._buffers else 0

    def _profiled_buffers(self) -> BufferSet:
        assert self._buffers is not None
        return self._buffers

    def _profiled_stream(self) -> Any:
        return self._stream

    def _drop_ways(self) -> None:
        ways, self._ways = self._ways, {}
        for way in ways.values():
            way.close()

    def _free(self) -> None:
        self._way = None
        self._drop_ways()
        buffers, self._buffers = self._buffers, None
        if buffers is not None:
            buffers.free()
        self._events = []
        self._stream = None
