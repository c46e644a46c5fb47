"""Throughput mode: while one batch executes, the next is copied in and the last one out, over several buffer sets."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from inferkit.backends.base import Feeds, Trace
from inferkit.backends.feeds import check_feeds
from inferkit.backends.gpus import Gpu
from inferkit.backends.tensorrt.device import cuda_errors
from inferkit.backends.tensorrt.flavour import Flavour
from inferkit.backends.tensorrt.plan import Plan
from inferkit.backends.tensorrt.running.buffers import BufferSet
from inferkit.backends.tensorrt.running.cuda_graph import CudaGraph, check
from inferkit.backends.tensorrt.running.latency import LAUNCHES
from inferkit.backends.tensorrt.running.replay import WrongResults, check_replay
from inferkit.backends.tensorrt.running.session import GpuSession
from inferkit.errors import BackendError, BackendUnavailable, UsageError

_clock = time.perf_counter

# One execute() runs a round: long enough that filling and draining the pipeline is well under a percent of it.
_ROUND_SECONDS = 0.05
_FEWEST_BATCHES = 32
_MOST_BATCHES = 512


@dataclass(eq=False)
class Slot:
    """One set of buffers, its captured execution, and its events.

    The first three order the three streams and take no time stamps, which is cheaper; `stamps` are recorded around
    copy in, execution and copy out of the last batches of a round only.
    """

    buffers: BufferSet
    copied_in: Any
    executed: Any
    copied_out: Any
    stamps: tuple[Any, ...]
    execute: Callable[[], Any] | None = None
    graph: CudaGraph | None = None

    def part(self, index: int) -> float:
        """Milliseconds of copy in (0), execution (1) or copy out (2), as stamped last."""
        return float(self.stamps[2 * index].time_till(self.stamps[2 * index + 1]))


class ThroughputSession(GpuSession):
    """`buffers` sets of buffers (two or more), three streams. One `execute` is a round of many batches: its trace holds
    the means per batch, and its parts overlap, so they add up to more than the wall time.
    """

    mode = "throughput"

    def __init__(
        self,
        plan: Plan,
        flavour: Flavour,
        gpu: Gpu,
        *,
        launch: str = "auto",
        buffers: int = 2,
        specialization: str,
    ) -> None:
        if launch not in LAUNCHES:
            raise UsageError(f"launch is one of {', '.join(LAUNCHES)}, not {launch!r}")
        if buffers < 2:
            raise UsageError("throughput mode overlaps batches: it takes two or more sets of buffers")
        self._wanted = launch
        self.launch = launch
        self.launch_note = ""
        self.replay_difference: float | None = None
        self._sets = buffers
        self._slots: list[Slot] = []
        self._submit: Callable[[Slot, bool], None] | None = None
        self.batches_per_round = 0
        self._last = 0
        super().__init__(plan, flavour, gpu, specialization)

    def execution_only(self, batches: int) -> float:
        """Seconds per batch of `batches` executions back to back without any copies: what overlapping can reach."""
        self._require_loaded()
        with self._gpu.active(), cuda_errors(f"running {self._executor.info.network}"):
            slots, stream = self._slots, self._compute
            start = _clock()
            for index in range(batches):
                self._execute(slots[index % len(slots)])
            stream.synchronize()
            return (_clock() - start) / batches

    def stream(self, batches: Iterable[Feeds]) -> Iterator[dict[str, NDArray[Any]]]:
        """The outputs of a stream of batches, in order: the results of one are yielded while the next ones run.

        A batch of another size drains the pipeline first. Raises what `load` raises.
        """
        self._require_open()
        pending: deque[Slot] = deque()
        smallest, _, largest = self._profile
        for images in batches:
            arrays, batch = check_feeds(images, self.inputs, largest, smallest)
            if batch != self._batch:
                while pending:
                    yield self._collect(pending.popleft())
                self.load(arrays)
            elif len(pending) == len(self._slots):
                yield self._collect(pending.popleft())
            slot = self._next_slot()
            with self._gpu.active(), cuda_errors(f"running {self._executor.info.network} at batch {batch}"):
                slot.buffers.stage(arrays, batch)
                assert self._submit is not None
                self._submit(slot, False)
            pending.append(slot)
        while pending:
            yield self._collect(pending.popleft())

    def _allocate(self) -> None:
        cuda = self._gpu.cuda
        self._in, self._compute, self._out = cuda.Stream(), cuda.Stream(), cuda.Stream()
        ordering = cuda.event_flags.DISABLE_TIMING
        for _ in range(self._sets):
            buffers = BufferSet(self._gpu, self.inputs, self.outputs, self._profile[2])
            copied_in, executed, copied_out = (cuda.Event(ordering) for _ in range(3))
            stamps = tuple(cuda.Event() for _ in range(6))
            self._slots.append(Slot(buffers, copied_in, executed, copied_out, stamps))

    def _stage(self, arrays: dict[str, NDArray[Any]], batch: int, changed: bool) -> None:
        for stream in (self._in, self._compute, self._out):
            stream.synchronize()  # a stream of batches that nobody read to its end may still be copying
        for slot in self._slots:
            slot.buffers.stage(arrays, batch)
        if not changed and self._submit is not None:
            return
        self._submit = None
        self._drop_graphs()
        self._executor.prepare(batch, self._slots[0].buffers, self._compute)
        self._capture()
        self._submit = self._make_submit(batch)
        self.batches_per_round = 0

    def _run(self) -> Trace:
        if not self.batches_per_round:
            self.batches_per_round = fewest = max(_FEWEST_BATCHES, len(self._slots))
            self._round()  # pays for what is made on first use
            seconds = self._round().wall
            self.batches_per_round = max(min(round(_ROUND_SECONDS / seconds), _MOST_BATCHES), fewest)
        return self._round()

    def _round(self) -> Trace:
        submit, slots = self._submit, self._slots
        assert submit is not None
        sets = len(self._slots)
        count = self.batches_per_round
        first = self._last + 1
        start = _clock()
        for index in range(first, first + count - sets):
            submit(slots[index % sets], False)
        for index in range(first + count - sets, first + count):
            submit(slots[index % sets], True)
        submitted = _clock()
        self._out.synchronize()
        end = _clock()
        self._last = first + count - 1
        return Trace(
            host_to_device=_mean(slot.part(0) for slot in slots),
            compute=_mean(slot.part(1) for slot in slots),
            device_to_host=_mean(slot.part(2) for slot in slots),
            wall=(end - start) / count,
            enqueue=(submitted - start) / count,
        )

    def _results(self) -> dict[str, NDArray[Any]]:
        return self._slots[self._last % len(self._slots)].buffers.results(self._batch)

    def _capture(self) -> None:
        """Give every slot its execution: a captured graph, or the context pointed at its buffers and enqueued."""
        self.launch, self.launch_note, self.replay_difference = "enqueue", "", None
        if self._wanted != "enqueue":
            try:
                for slot in self._slots:
                    self._executor.bind(slot.buffers)
                    slot.graph = CudaGraph(self._compute, lambda _: self._executor.enqueue(self._compute))
                    slot.execute = slot.graph.launcher()
                self.replay_difference = max(self._check_replay(slot) for slot in self._slots)
                self.launch = "graph"
                return
            except (BackendError, BackendUnavailable) as error:
                if self._wanted == "graph" or isinstance(error, WrongResults):
                    raise
                self._drop_graphs()
                self.launch_note = str(error)
        for slot in self._slots:
            slot.execute = self._enqueue_with(slot.buffers)
        self._check_replay(self._slots[0])

    def _check_replay(self, slot: Slot) -> float:
        """The slot's execution, captured or not, against plain enqueue, on its staged batch."""
        batch, buffers, stream = self._executor.batch, slot.buffers, self._compute
        assert batch is not None
        assert slot.execute is not None
        to_device, to_host = self._gpu.cuda.memcpy_htod_async, self._gpu.cuda.memcpy_dtoh_async

        def results_of(run: Callable[[], Any]) -> dict[str, NDArray[Any]]:
            buffers.poison()
            for binding in buffers.inputs:
                to_device(binding.device, binding.at(batch), stream)
            run()
            for binding in buffers.outputs:
                to_host(binding.at(batch), binding.device, stream)
            stream.synchronize()
            return buffers.results(batch)

        enqueue = self._enqueue_with(buffers)
        network = self._executor.info.network
        return check_replay(lambda: results_of(enqueue), lambda: results_of(lambda: self._execute(slot)), network)

    def _enqueue_with(self, buffers: BufferSet) -> Callable[[], Any]:
        def execute() -> tuple[int]:
            self._executor.bind(buffers)
            self._executor.enqueue(self._compute)
            return (0,)

        return execute

    def _execute(self, slot: Slot) -> None:
        assert slot.execute is not None
        (status,) = slot.execute()
        if status:
            check(status, "cuGraphLaunch")

    def _make_submit(self, batch: int) -> Callable[[Slot, bool], None]:
        """The work of one batch on three streams, ordered by events alone: the host never waits in here."""
        to_device, to_host = self._gpu.cuda.memcpy_htod_async, self._gpu.cuda.memcpy_dtoh_async
        in_stream, compute, out_stream = self._in, self._compute, self._out
        inputs = {
            id(slot): [(binding.device, binding.at(batch)) for binding in slot.buffers.inputs] for slot in self._slots
        }
        outputs = {
            id(slot): [(binding.at(batch), binding.device) for binding in slot.buffers.outputs] for slot in self._slots
        }
        execute = self._execute

        def submit(slot: Slot, stamped: bool) -> None:
            in_stream.wait_for_event(slot.executed)  # the execution before this one has read the input
            if stamped:
                slot.stamps[0].record(in_stream)
            for device, host in inputs[id(slot)]:
                to_device(device, host, in_stream)
            if stamped:
                slot.stamps[1].record(in_stream)
            slot.copied_in.record(in_stream)
            compute.wait_for_event(slot.copied_in)
            compute.wait_for_event(slot.copied_out)  # the output before this one has left
            if stamped:
                slot.stamps[2].record(compute)
            execute(slot)
            if stamped:
                slot.stamps[3].record(compute)
            slot.executed.record(compute)
            out_stream.wait_for_event(slot.executed)
            if stamped:
                slot.stamps[4].record(out_stream)
            for host, device in outputs[id(slot)]:
                to_host(host, device, out_stream)
            if stamped:
                slot.stamps[5].record(out_stream)
            slot.copied_out.record(out_stream)

        return submit

    def _next_slot(self) -> Slot:
        self._last += 1
        return self._slots[self._last % len(self._slots)]

    def _collect(self, slot: Slot) -> dict[str, NDArray[Any]]:
        with self._gpu.active(), cuda_errors(f"running {self._executor.info.network}"):
            slot.copied_out.synchronize()
        self._ran = True
        return slot.buffers.results(self._batch)

    def _mode_details(self) -> dict[str, Any]:
        self._run()
        batches = self.batches_per_round
        self.execution_only(batches)
        alone = self.execution_only(batches)
        trace = self._run()
        return {
            "launch": self.launch,
            "launch_note": self.launch_note,
            "replay_difference": self.replay_difference,
            "capturable": self._executor.capturable(self._compute),
            "buffer_sets": len(self._slots),
            "batches_per_round": batches,
            "execution_only_seconds": alone,
            "share_of_execution_only_rate": alone / trace.wall,
            "enqueue_bound": trace.enqueue is not None and trace.enqueue > 0.8 * trace.wall,
        }

    def _buffer_bytes(self) -> int:
        return sum(slot.buffers.device_bytes for slot in self._slots)

    def _profiled_buffers(self) -> BufferSet:
        return self._slots[0].buffers

    def _profiled_stream(self) -> Any:
        return self._compute

    def _drop_graphs(self) -> None:
        for slot in self._slots:
            graph, slot.graph, slot.execute = slot.graph, None, None
            if graph is not None:
                graph.close()

    def _free(self) -> None:
        self._submit = None
        self._drop_graphs()
        slots, self._slots = self._slots, []
        for slot in slots:
            slot.buffers.free()
        self._in = self._compute = self._out = None


def _mean(milliseconds: Iterable[float]) -> float:
    values = list(milliseconds)
    return sum(values) / len(values) / 1e3
