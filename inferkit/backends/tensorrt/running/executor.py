"""An engine with one execution context: shapes, addresses, enqueue; and what it took in memory and time."""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NoReturn

from inferkit.backends.tensorrt.blobs import BlobCache, jit_cache
from inferkit.backends.tensorrt.device import Device, cuda_errors
from inferkit.backends.tensorrt.flavour import Context, Flavour
from inferkit.backends.tensorrt.plan import Plan
from inferkit.backends.tensorrt.running.buffers import BufferSet
from inferkit.errors import BackendError, EngineError


class Executor:
    """Runs an engine on one stream. Every method wants the device's context current.

    Kernels that TensorRT-RTX compiles at run time are kept in the just-in-time cache, one file per batch size, so a
    context is made anew for another batch size.
    """

    def __init__(self, plan: Plan, flavour: Flavour, device: Device, specialization: str) -> None:
        self.flavour = flavour
        self.device = device
        self.info = plan.info
        self.specialization = specialization
        self.batch: int | None = None
        self.jit: dict[str, Any] = {}
        self.first_seconds: float | None = None
        self._plan_digest = plan.info.sha256
        flavour.recorder.forget()
        self._lowest_free = self._free_at_start = device.free_bytes()
        start = time.perf_counter()
        self._loaded: LoadedEngine | None
        self._loaded, was_there = load_shared(plan, flavour, device)
        self.load_seconds = time.perf_counter() - start
        self.engine_bytes = self._loaded.size_bytes
        if was_there:
            self._free_at_start += self.engine_bytes  # as if it had been loaded for this executor
        self._look()
        self._check_bindings()
        self._context: Context | None = None
        self.context_bytes = 0

    def prepare(self, batch: int, buffers: BufferSet, stream: Any) -> None:
        """Make the context ready for `batch`: set shapes, compile what is to be compiled, run once and wait for it."""
        if batch != self.batch:
            self.batch = None
            self._new_context(batch)
        self.bind(buffers)
        if batch == self.batch:
            return
        for info in self.info.inputs:
            if not self.context.set_input_shape(info.name, info.shape_at(batch)):
                raise BackendError(f"TensorRT refuses a batch of {batch} for input {info.name!r}")
        for binding in buffers.outputs:
            shape = tuple(self.context.get_tensor_shape(binding.info.name))
            expected = binding.info.shape_at(batch)
            if shape != expected:
                raise BackendError(
                    f"output {binding.info.name!r} has shape {list(shape)} at batch {batch}, expected "
                    f"{list(expected)}: only the batch may decide its size"
                )
        start = time.perf_counter()
        with cuda_errors(f"the first run of {self.info.network} at batch {batch}", self.device):
            self.enqueue(stream)
            stream.synchronize()
        self.first_seconds = time.perf_counter() - start
        self.batch = batch
        self._look()
        self._keep_compiled()

    def bind(self, buffers: BufferSet) -> None:
        """Point the context at a set of buffers."""
        for binding in buffers.bindings:
            if not self.context.set_tensor_address(binding.info.name, binding.address):
                raise BackendError(f"TensorRT refuses the address of {binding.info.name!r}")

    def enqueue(self, stream: Any) -> None:
        """Submit one execution to a PyCUDA stream. BackendError with what TensorRT logged where it refuses."""
        if not self.context.execute_async_v3(stream.handle):
            self.refused()

    def capturable(self, stream: Any) -> bool | None:
        """What TensorRT says of capturing what this engine enqueues; None where it says nothing."""
        return self.flavour.capturable(self.context, stream.handle)

    def refused(self) -> NoReturn:
        """Raise what there is to say after TensorRT did not accept an execution."""
        scratch = self.flavour.device_memory(self._engine) / (1 << 20)
        raise BackendError(
            f"TensorRT does not run {self.info.network} at batch {self.batch} ({scratch:.1f} MiB of scratch memory)"
            f"{self.flavour.recorder.last_errors()}"
        )

    @property
    def _engine(self) -> Any:
        assert self._loaded is not None, "the executor is closed"
        return self._loaded.engine

    @property
    def context(self) -> Any:
        assert self._context is not None, "prepare() makes the context"
        return self._context.context

    @property
    def compiled(self) -> bool | None:
        """Whether the context's kernels were compiled in this process, not found in the cache; None where the flavour
        compiles none at run time."""
        if not self.flavour.is_rtx or self._context is None:
            return None
        return not self._context.jit_loaded

    @property
    def peak_bytes(self) -> int:
        """The most device memory taken since before the engine was loaded, as far as it was looked at; with the engine
        where sessions share it."""
        self._look()
        return max(self._free_at_start - self._lowest_free, 0)

    def layer_times(self, buffers: BufferSet, stream: Any, runs: int) -> dict[str, float]:
        """Seconds per layer, by IProfiler, in a context of its own: profiling slows the engine down.

        Medians over the runs: one hiccup of the host would be told as milliseconds of whatever layer it fell on.
        """
        times: dict[str, float] = {}
        taken: list[dict[str, float]] = []
        assert self.batch is not None
        made, _ = self._make_context(self.batch)
        profiled = made.context
        for info in self.info.inputs:
            profiled.set_input_shape(info.name, info.shape_at(self.batch))
        for binding in buffers.bindings:
            profiled.set_tensor_address(binding.info.name, binding.address)
        profiled.execute_async_v3(stream.handle)  # compiles and warms up, unobserved
        stream.synchronize()
        profiler = self.flavour.make_profiler(times)
        profiled.profiler = profiler
        for _ in range(runs):
            if not profiled.execute_async_v3(stream.handle):
                raise BackendError(f"{self.info.network} cannot be profiled layer by layer")
            stream.synchronize()
            taken.append(dict(times))
            times.clear()
        del profiled, made
        return median_seconds(taken)

    def inspect(self) -> Any:
        """What the engine inspector says, parsed where it is JSON."""
        text = self.flavour.inspect(self._engine, self.context)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def close(self) -> None:
        """Release the context, then the engine, which goes with its last user."""
        self._context = None
        self._loaded = None

    def _new_context(self, batch: int) -> None:
        if self._context is not None and not self.flavour.is_rtx:
            return  # nothing is compiled at run time: one context serves every batch
        self._context = None  # release its memory before the next one takes its own
        before = self.device.free_bytes()
        with cuda_errors(f"the execution context of {self.info.network}", self.device):
            self._context, self.jit = self._make_context(batch)
        self.context_bytes = max(before - self._look(), 0)

    def _make_context(self, batch: int) -> tuple[Context, dict[str, Any]]:
        """A context, and whether there were compiled kernels for it (empty where none are compiled at run time)."""
        cache = self._jit_cache(batch)
        content = cache.read() if cache else None
        made = self.flavour.create_context(self._engine, jit_cache=content, specialization=self.specialization)
        return made, {"found": content is not None, "loaded": made.jit_loaded} if cache else {}

    def _jit_cache(self, batch: int) -> BlobCache | None:
        if not self.flavour.is_rtx:
            return None
        try:
            return jit_cache(self._plan_digest, self.flavour, self.device.gpu.as_dict(), batch, self.specialization)
        except OSError:  # no cache folder: compile every time
            return None

    def _keep_compiled(self) -> None:
        """Store what was compiled, unless it came from the cache. Lazily swapped kernels are not waited for."""
        cache = self._jit_cache(self.batch or 0)
        if cache is None or self._context is None or self._context.jit_loaded:
            return
        content = self._context.jit_content()
        if content:
            self.jit["bytes"] = len(content)
            cache.update(lambda _: content)

    def _check_bindings(self) -> None:
        """The engine's own inputs and outputs are those of its metadata."""
        engine = self._engine
        input_mode = self.flavour.module.TensorIOMode.INPUT
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = {name for name in names if engine.get_tensor_mode(name) == input_mode}
        known = {info.name for info in self.info.inputs}, {info.name for info in self.info.outputs}
        if (inputs, set(names) - inputs) != known:
            raise EngineError(
                f"the engine's inputs and outputs ({', '.join(names)}) are not those of its metadata; build it again"
            )

    def _look(self) -> int:
        free = self.device.free_bytes()
        self._lowest_free = min(self._lowest_free, free)
        return free


def median_seconds(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median seconds of each layer over runs that tell milliseconds; in the order in which the layers first came.

    A run that tells nothing counts as none: a profiler may report a run only when the next one is submitted.
    """
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: median(run[name] for run in runs if name in run) / 1e3 for name in names}


_loaded: weakref.WeakValueDictionary[tuple[str, str, str], LoadedEngine] = weakref.WeakValueDictionary()
_lock = threading.Lock()


class LoadedEngine:
    """An engine on a GPU, freed with its last user. `size_bytes` is the device memory that loading it took."""

    def __init__(self, plan: Plan, flavour: Flavour, device: Device) -> None:
        before = device.free_bytes()
        with cuda_errors(f"loading the engine of {plan.info.network}", device):
            runtime = flavour.module.Runtime(flavour.logger)
            if runtime is None:
                raise BackendError(f"{flavour} cannot start its runtime")
            self.engine: Any = flavour.deserialize(runtime, plan.content)
        self._runtime = runtime  # after the engine: attributes go in this order, and an engine must go first
        self.size_bytes = max(before - device.free_bytes(), 0)


def load_shared(plan: Plan, flavour: Flavour, device: Device) -> tuple[LoadedEngine, bool]:
    """The engine of `plan` on `device`, whose context is current; and whether it was there already.

    Raises EngineError and BackendError where TensorRT does not take it.
    """
    key = (device.gpu.uuid, flavour.name, plan.info.sha256)
    with _lock:
        found = _loaded.get(key)
        if found is not None:
            return found, True
        made = _loaded[key] = LoadedEngine(plan, flavour, device)
        return made, False
