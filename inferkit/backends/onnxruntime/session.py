"""An ONNX Runtime session: inputs staged in its own buffers, outputs bound to memory that is there already."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.agreement import count_nonfinite
from inferkit.backends.base import Feeds, Session, Trace
from inferkit.backends.feeds import check_feeds
from inferkit.backends.layer_table import LayerTable
from inferkit.backends.onnxruntime.settings import Settings
from inferkit.errors import BackendError
from inferkit.network.as_written import reason_of
from inferkit.network.network import Network, TensorInfo

Arrays = dict[str, NDArray[Any]]


class OnnxSession(Session):
    """One stream of batches through an InferenceSession, which several of these may share.

    The trace's `compute` and `wall` are one Run() with everything bound: on the CPU there is nothing to copy. An
    output whose shape cannot be told from the batch is allocated by the first run of each batch shape, by no later one;
    one whose shape depends on the data is allocated by every run. An output that is an input is handed over as staged:
    ONNX Runtime would leave the memory bound to it as it was.
    `nonfinite` counts NaN and infinities per output of the last fetch.
    """

    def __init__(
        self,
        network: Network,
        runtime: Any,
        settings: Settings,
        max_batch: int,
        memory: Callable[[], int],
        layers: Callable[[Arrays, int], LayerTable] = lambda images, runs: (),
    ) -> None:
        self.inputs, self.outputs = network.inputs, network.outputs
        self.nonfinite: dict[str, int] = {}
        self.settings = settings
        self._runtime = runtime
        self._binding: Any = runtime.io_binding()
        self._max_batch = max_batch
        self._memory = memory
        self._layers = layers
        self._staged: Arrays = {}
        self._results: Arrays = {}
        self._computed = [info for info in self.outputs if info.name not in {given.name for given in self.inputs}]
        self._unbound: set[str] = set()  # outputs that the next run allocates
        self._varying: set[str] = set()  # outputs whose shape depends on the data
        self._shapes: dict[tuple[tuple[int, ...], ...], dict[str, tuple[int, ...]]] = {}
        self._state = "opened"

    def load(self, images: Feeds) -> None:
        self._require_open()
        checked, batch = check_feeds(images, self.inputs, self._max_batch)
        changed = False
        for name, array in checked.items():
            buffer = self._staged.get(name)
            if buffer is None or buffer.shape != array.shape:
                buffer = self._staged[name] = np.empty(array.shape, array.dtype)
                self._binding.bind_input(name, "cpu", 0, _element_type(array), array.shape, buffer.ctypes.data)
                changed = True
            np.copyto(buffer, array)
        if changed:
            known = self._shapes.get(self._feed_shape(), {})
            for info in self._computed:
                self._bind_output(info, known.get(info.name) or _expected_shape(info, batch))
        self._state = "loaded"

    def execute(self) -> Trace:
        self._require_open()
        if self._state == "opened":
            raise BackendError("nothing to execute: load a batch first")
        try:
            wall = self._run()
        except Exception as error:  # its exceptions have no common class below Exception
            wall = self._run_unbound(error)
        if self._unbound:
            self._learn_shapes()
        self._state = "executed"
        return Trace(host_to_device=0.0, compute=wall, device_to_host=0.0, wall=wall)

    def fetch(self) -> dict[str, NDArray[Any]]:
        self._require_open()
        if self._state != "executed":
            raise BackendError("nothing to fetch: execute the loaded batch first")
        results = {**self._staged, **self._results}
        outputs = {info.name: np.array(results[info.name]) for info in self.outputs}
        self.nonfinite = count_nonfinite(outputs)
        return outputs

    def memory_bytes(self) -> int | None:
        """Host memory that this process holds beyond what it held before the engine was built."""
        return self._memory()

    def details(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "threads": self.settings.intra_op,
            "inter_op": self.settings.inter_op,
            "optimization": self.settings.optimization,
            "arena": self.settings.arena,
            "mem_pattern": self.settings.mem_pattern,
            "spinning": self.settings.spinning,
            "providers": list(self.settings.providers),
        }
        if self.nonfinite:
            found["nonfinite_outputs"] = dict(self.nonfinite)
        return found

    def layer_times(self, runs: int) -> LayerTable:
        """By ONNX Runtime's profiler, in a session of its own with the same settings."""
        self._require_open()
        if self._state == "opened":
            raise BackendError("nothing to profile: load a batch first")
        return self._layers(self._staged, runs)

    def close(self) -> None:
        self._state = "closed"
        self._binding = self._runtime = None
        self._staged, self._results = {}, {}

    def _run(self) -> float:
        runtime, binding = self._runtime, self._binding
        start = time.perf_counter()
        if self._computed:  # ONNX Runtime refuses a run that computes nothing
            runtime.run_with_iobinding(binding)
        return time.perf_counter() - start

    def _run_unbound(self, error: Exception) -> float:
        """Once more after a failure, with outputs left to ONNX Runtime: theirs may not be shaped as the batch promised,
        or as the run before (rows that are not images). BackendError where that was not the reason."""
        if len(self._unbound) == len(self._computed):
            raise BackendError(f"ONNX Runtime fails in a run: {reason_of(error)}") from error
        for info in self._computed:
            self._bind_output(info, None)
        try:
            return self._run()
        except Exception as again:
            raise BackendError(f"ONNX Runtime fails in a run: {again}") from again

    def _bind_output(self, info: TensorInfo, shape: tuple[int, ...] | None) -> None:
        if shape is None or info.name in self._varying:
            self._unbound.add(info.name)
            self._binding.bind_output(info.name, "cpu")
            return
        self._unbound.discard(info.name)
        result = self._results[info.name] = np.empty(shape, _dtype(info))
        self._binding.bind_output(info.name, "cpu", 0, _element_type(result), shape, result.ctypes.data)

    def _learn_shapes(self) -> None:
        """Take over outputs that ONNX Runtime allocated, and bind memory of their shape for the runs to come."""
        arrays = self._binding.copy_outputs_to_cpu()
        found = dict(zip((info.name for info in self._computed), arrays, strict=True))
        known = self._shapes.get(self._feed_shape(), {})
        self._varying |= {name for name, array in found.items() if known.get(name, array.shape) != array.shape}
        self._shapes[self._feed_shape()] = {name: array.shape for name, array in found.items()}
        for info in [info for info in self._computed if info.name in self._unbound]:
            self._bind_output(info, found[info.name].shape)
            if info.name in self._unbound:
                self._results[info.name] = found[info.name]
            else:
                np.copyto(self._results[info.name], found[info.name])

    def _feed_shape(self) -> tuple[tuple[int, ...], ...]:
        return tuple(self._staged[info.name].shape for info in self.inputs)

    def _require_open(self) -> None:
        if self._state == "closed":
            raise BackendError("the session is closed; open another one")


def _expected_shape(info: TensorInfo, batch: int) -> tuple[int, ...] | None:
    """The shape of an output for `batch` images where only the batch is open; None where the first run tells."""
    return None if info.open_axes else info.shape_at(batch)


def _dtype(info: TensorInfo) -> np.dtype[Any]:
    if info.dtype == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(info.dtype)


def _element_type(array: NDArray[Any]) -> Any:
    """What binding calls the type: numpy's own, or ONNX's number for one that numpy lacks."""
    if array.dtype.name == "bfloat16":
        return 16  # onnx.TensorProto.BFLOAT16
    return array.dtype.type
