"""A CUDA graph of work captured from a PyCUDA stream: replayed with one call, timed by events inside it.

PyCUDA has no graph interface, so capture, replay and the events inside go through cuda-python, on the same stream.
Replay removes the host from the measurement: enqueueing layer by layer varies by percents between processes, a
replay by tenths of a percent.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from inferkit.backends.tensorrt.device import cuda_bindings
from inferkit.errors import BackendError


class GraphEvent:
    """A CUDA event that can be recorded inside a captured graph and read after each replay."""

    def __init__(self) -> None:
        self._driver = cuda_bindings()
        (self.handle,) = call("cuEventCreate", int(self._driver.CUevent_flags.CU_EVENT_DEFAULT))

    def record(self, stream: Any) -> None:
        """Inside a capture: becomes a node that takes the time whenever the graph reaches it."""
        flag = int(self._driver.CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL)
        call("cuEventRecordWithFlags", self.handle, stream, flag)

    def close(self) -> None:
        if self.handle is not None:
            handle, self.handle = self.handle, None
            call("cuEventDestroy", handle)


class CudaGraph:
    """A captured and instantiated graph, bound to the stream that it is replayed on."""

    def __init__(self, stream: Any, work: Callable[[Any], None]) -> None:
        """Capture what `work(stream)` submits to `stream` (PyCUDA's); `work` gets the stream in cuda-python's type.

        BackendError where something in it cannot be captured.
        """
        driver = cuda_bindings()
        self.stream = driver.CUstream(stream.handle)
        with _Capture(self.stream) as captured:
            work(self.stream)
        graph = captured.graph
        try:
            (self._executable,) = call("cuGraphInstantiate", graph, 0)
        finally:
            call("cuGraphDestroy", graph)
        try:
            call("cuGraphUpload", self._executable, self.stream)
            call("cuStreamSynchronize", self.stream)
        except BaseException:
            self.close()
            raise

    def launcher(self) -> Callable[[], Any]:
        """A function without arguments that replays the graph and returns a tuple whose first element is the status."""
        launch, executable, stream = cuda_bindings().cuGraphLaunch, self._executable, self.stream
        return lambda: launch(executable, stream)

    def close(self) -> None:
        if self._executable is not None:
            executable, self._executable = self._executable, None
            call("cuGraphExecDestroy", executable)


class _Capture:
    """Capture of one stream; the graph is in `graph` afterwards. Ends the capture also where the work fails."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.graph: Any = None

    def __enter__(self) -> _Capture:
        # Only this thread's calls are held to the rules of capturing: others may use CUDA meanwhile.
        mode = cuda_bindings().CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        call("cuStreamBeginCapture", self._stream, mode)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        driver = cuda_bindings()
        status, self.graph = driver.cuStreamEndCapture(self._stream)
        if error is None:
            check(status, "cuStreamEndCapture")
            if self.graph is None or not int(self.graph):
                raise BackendError("this engine cannot be captured in a CUDA graph; run it with launch='enqueue'")


def elapsed_seconds(start: GraphEvent, end: GraphEvent) -> float:
    """Seconds from one recorded event to another, by the GPU's clock."""
    (milliseconds,) = call("cuEventElapsedTime", start.handle, end.handle)
    return float(milliseconds) / 1e3


def call(name: str, *arguments: Any) -> tuple[Any, ...]:
    """Call a function of CUDA's driver by name; returns what it returns after its status, which is checked."""
    status, *results = getattr(cuda_bindings(), name)(*arguments)
    check(status, name)
    return tuple(results)


def check(status: Any, name: str) -> None:
    """BackendError for a status other than success."""
    driver = cuda_bindings()
    if status != driver.CUresult.CUDA_SUCCESS:
        _, text = driver.cuGetErrorString(status)
        detail = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        raise BackendError(f"{name} failed: {status.name} ({detail})")
