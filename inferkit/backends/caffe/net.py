"""One network in real Caffe, in this process or in a worker: shaped, fed, run and read by blob names."""

from __future__ import annotations

import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from inferkit.backends.caffe.process import Floats, Worker
from inferkit.backends.caffe.root import CaffeRoot
from inferkit.backends.caffe.worker import Runner
from inferkit.errors import BackendError

Shapes = dict[str, tuple[int, ...]]


class CaffeNet(ABC):
    """A loaded network. `inputs` and `outputs` are shapes by blob name as the prototxt has them, in its order."""

    inputs: Shapes
    outputs: Shapes
    blobs: tuple[str, ...]
    version: str
    threads: int | None = None
    coretype: str | None = None  # the kernels that OpenBLAS was told to use

    @abstractmethod
    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Copy a batch into the input blobs, shaping the network anew where a shape changed. Not timed."""

    @abstractmethod
    def execute(self) -> float:
        """Run net.forward(), nothing else; its seconds by the clock of the process that it runs in."""

    @abstractmethod
    def fetch(self, names: Sequence[str]) -> dict[str, Floats]:
        """Copies of blobs (any of them, not only outputs). BackendError for a name that the network does not have."""

    @abstractmethod
    def profile(self) -> list[tuple[str, str, float]]:
        """(layer, type, seconds) of one pass, layer by layer: slower in sum than `execute`, for comparing layers."""

    @abstractmethod
    def close(self) -> None:
        """Free the network; safe to call twice."""

    def overhead(self) -> dict[str, float]:
        """Median seconds that reaching Caffe cost, by step, none of it in any time that `execute` returns."""
        return {}

    def memory_bytes(self) -> int | None:
        """Resident memory of the process that Caffe runs in."""
        return None

    def _require_blobs(self, names: Sequence[str]) -> None:
        unknown = [name for name in names if name not in self.blobs]
        if unknown:
            raise BackendError(f"the network has no blob {', '.join(unknown)}; its last ones are {self.blobs[-5:]}")


class WorkerNet(CaffeNet):
    """A network in a worker process. What the pipe and the shared memory cost is kept apart in `overhead`."""

    def __init__(
        self,
        root: CaffeRoot,
        prototxt: Path,
        caffemodel: Path | None,
        *,
        gpu: bool = False,
        threads: int | None = None,
        timeout: float = 600.0,
    ) -> None:
        self._overheads: dict[str, list[float]] = {}
        self.worker = Worker(root, threads=threads, timeout=timeout)
        try:
            found = self.worker.request(
                "open",
                f"loading {prototxt}",
                prototxt=str(prototxt.absolute()),
                caffemodel=None if caffemodel is None else str(caffemodel.absolute()),
                gpu=gpu,
            )
        except BaseException:
            self.worker.close()
            raise
        self.inputs = {name: tuple(shape) for name, shape in found["inputs"]}
        self.outputs = {name: tuple(shape) for name, shape in found["outputs"]}
        self.blobs = tuple(found["blobs"])
        self.version = self.worker.version
        self.threads = self.worker.threads
        self.coretype = self.worker.coretype

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        start = time.perf_counter()
        placed = self.worker.write(arrays)
        sizes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        answer = self.worker.request("load", f"taking {sizes}", arrays=placed)
        self._note("load", time.perf_counter() - start)
        self._note("load_in_worker", answer["seconds"])

    def execute(self) -> float:
        start = time.perf_counter()
        seconds: float = self.worker.request("execute", "in net.forward()")["seconds"]
        self._note("execute", time.perf_counter() - start - seconds)
        return seconds

    def fetch(self, names: Sequence[str]) -> dict[str, Floats]:
        self._require_blobs(names)
        start = time.perf_counter()
        answer = self.worker.request("fetch", f"reading {', '.join(names)}", names=list(names))
        arrays = self.worker.read(answer["arrays"])
        self._note("fetch", time.perf_counter() - start)
        return arrays

    def profile(self) -> list[tuple[str, str, float]]:
        layers = self.worker.request("profile", "in a profiled pass")["layers"]
        return [(name, kind, seconds) for name, kind, seconds in layers]

    def overhead(self) -> dict[str, float]:
        return {step: statistics.median(seconds) for step, seconds in self._overheads.items()}

    def memory_bytes(self) -> int | None:
        try:
            return int(psutil.Process(self.worker.process.pid).memory_info().rss) if self.worker.alive else None
        except psutil.Error:
            return None

    def close(self) -> None:
        self.worker.close()

    def _note(self, step: str, seconds: float) -> None:
        noted = self._overheads.setdefault(step, [])
        noted.append(seconds)
        del noted[:-1000]  # the last thousand say enough


class LocalNet(CaffeNet):
    """A network in this process, where `import caffe` works. A failed CHECK in Caffe ends this process with it."""

    def __init__(self, prototxt: Path, caffemodel: Path | None, *, gpu: bool = False) -> None:
        import caffe

        try:
            self._runner: Runner | None = Runner(str(prototxt), None if caffemodel is None else str(caffemodel), gpu)
        except RuntimeError as error:  # a file that cannot be opened; what is wrong inside one aborts
            raise BackendError(f"Caffe fails loading {prototxt}: {error}") from error
        net = self._runner.net
        self.inputs = {name: tuple(net.blobs[name].shape) for name in net.inputs}
        self.outputs = {name: tuple(net.blobs[name].shape) for name in net.outputs}
        self.blobs = tuple(net.blobs)
        self.version = getattr(caffe, "__version__", "unknown")

    @property
    def runner(self) -> Runner:
        if self._runner is None:
            raise BackendError("the Caffe network is closed; open another session")
        return self._runner

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.runner.load(dict(arrays))

    def execute(self) -> float:
        return self.runner.execute()

    def fetch(self, names: Sequence[str]) -> dict[str, Floats]:
        self._require_blobs(names)
        return {name: np.array(view, np.float32) for name, view in self.runner.fetch(list(names)).items()}

    def profile(self) -> list[tuple[str, str, float]]:
        return [(name, kind, seconds) for name, kind, seconds in self.runner.profile()]

    def memory_bytes(self) -> int | None:
        return int(psutil.Process().memory_info().rss)

    def close(self) -> None:
        self._runner = None
