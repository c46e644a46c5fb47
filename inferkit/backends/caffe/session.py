"""The `caffe` backend behind the common interface: fp32, as PyCaffe computes it, only net.forward() timed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from numpy.typing import NDArray

from inferkit.backends.agreement import count_nonfinite
from inferkit.backends.base import Availability, Backend, Engine, EngineInfo, Facts, Feeds, Session, Trace
from inferkit.backends.caffe.net import CaffeNet
from inferkit.backends.caffe.open import NetState, choose, open_net
from inferkit.backends.caffe.root import handed_over
from inferkit.backends.feeds import check_feeds
from inferkit.backends.layer_table import LayerRow, LayerTable
from inferkit.errors import BackendError, BackendUnavailable
from inferkit.network.network import Network, TensorInfo


class CaffeBackend(Backend):
    """Real PyCaffe 1.0. Options of `build`: `caffe_root` (see root.py), `gpu`, `in_process` (None: where it works)."""

    name = "caffe"
    precisions = ("fp32",)
    # No reference network: it would read the same CPU as ONNX Runtime's, and its processes take a second to start.
    facts = Facts(
        build_settings=("caffe_root", "gpu", "in_process"),
        session_settings=("threads", "timeout"),
        path_settings=("caffe_root",),
    )

    def availability(self, precision: str = "fp32") -> Availability:
        if precision not in self.precisions:
            return Availability(
                False, f"Caffe computes in fp32, not in {precision}", "run this case with onnxruntime or tensorrt"
            )
        try:
            place = choose()
        except BackendUnavailable as error:
            return Availability(False, error.reason, error.hint)
        return Availability(True, version=place.version)

    def environment(self, precision: str) -> dict[str, str]:
        """What is known of Caffe's folder, so that the processes of a suite need not all find it out again."""
        try:
            place = choose()
        except BackendUnavailable:
            return {}
        return {} if place.root is None else handed_over(place.root)

    def build(
        self,
        network: Network,
        max_batch: int,
        *,
        caffe_root: str | Path | None = None,
        gpu: bool = False,
        in_process: bool | None = None,
        **options: Any,
    ) -> CaffeEngine:
        """Nothing is compiled: what is checked is that Caffe is there and that the network came from Caffe files."""
        if options:
            raise BackendError(f"the caffe backend has no option {', '.join(sorted(options))}")
        if max_batch < 1:
            raise BackendError(f"max_batch is {max_batch}; a batch holds at least one image")
        if network.precision not in self.precisions:
            found = self.availability(network.precision)
            raise BackendUnavailable(found.reason, found.hint)
        if any(info.dtype == "uint8" for info in network.inputs):
            raise BackendUnavailable(
                "Caffe computes the prototxt as it is, which takes float32 input",
                "run uint8 input with another backend",
            )
        source = network.source
        if source is None:
            raise BackendError(
                f"network {network.name} did not come from Caffe files, so Caffe cannot run it; "
                "load it from a prototxt and a caffemodel, or use the onnxruntime backend"
            )
        for file in (source.prototxt, source.caffemodel):
            if file is not None and not Path(file).is_file():
                raise BackendError(f"{file} of network {network.name} is gone; Caffe needs the files it came from")
        place = choose(caffe_root, in_process)
        sizes = [Path(file).stat().st_size for file in (source.prototxt, source.caffemodel) if file is not None]
        details = {"runs": "in this process" if place.root is None else f"in a worker of {place.root.path}", "gpu": gpu}
        info = EngineInfo(
            "caffe", "fp32", max_batch, sum(sizes), version=place.version, details=details, network=network.name
        )
        return CaffeEngine(network, info, caffe_root, gpu, in_process)

    def probe(self, network: Network, max_batch: int) -> CaffeSession:
        """The blobs that Caffe has of them; one that a later layer changes in place has its last value."""
        return self.build(network, max_batch).opened(partial=True)


@dataclass(frozen=True, eq=False)
class CaffeEngine(Engine):
    """Caffe files that are ready to be opened: each session is a network of its own, in a worker of its own."""

    network: Network
    info: EngineInfo
    caffe_root: str | Path | None = None
    gpu: bool = False
    in_process: bool | None = None

    def session(self, *, threads: int | None = None, timeout: float = 600.0, **settings: Any) -> CaffeSession:
        """Open the network. `threads` are OpenBLAS's (None: the cores that are ours); `timeout` bounds every step."""
        if settings:
            raise BackendError(f"a caffe session has no setting {', '.join(sorted(settings))}")
        return self.opened(threads=threads, timeout=timeout)

    def opened(self, *, threads: int | None = None, timeout: float = 600.0, partial: bool = False) -> CaffeSession:
        """As `session`; a `partial` one leaves out the outputs that Caffe has no blob of."""
        source = self.network.source
        assert source is not None  # build refused it
        net = open_net(
            source.prototxt,
            source.caffemodel,
            caffe_root=self.caffe_root,
            gpu=self.gpu,
            in_process=self.in_process,
            threads=threads,
            timeout=timeout,
            state=NetState(source.phase, source.level, source.stages),
            input_shapes={info.name: [dim or 1 for dim in info.shape] for info in self.network.inputs},
        )
        try:
            outputs = tuple(info for info in self.network.outputs if not partial or info.name in net.blobs)
            return CaffeSession(self.network, outputs, net, self.info.max_batch)
        except BaseException:
            net.close()
            raise


class CaffeSession(Session):
    """A network open in Caffe. The trace's `compute` and `wall` are net.forward() by the worker's own clock."""

    def __init__(self, network: Network, outputs: tuple[TensorInfo, ...], net: CaffeNet, max_batch: int) -> None:
        self.inputs, self.outputs = network.inputs, outputs
        self.net = net
        self.nonfinite: dict[str, int] = {}
        self._max_batch = max_batch
        self._state = "opened"
        missing = [info.name for info in self.inputs if info.name not in net.inputs]
        missing += [info.name for info in self.outputs if info.name not in net.blobs]
        if missing or len(self.inputs) != len(net.inputs):
            raise BackendError(
                f"network {network.name} and Caffe's reading of its prototxt differ: inputs {sorted(net.inputs)}, "
                f"expected {sorted(info.name for info in self.inputs)}; no blob {missing}"
            )

    def load(self, images: Feeds) -> None:
        self._require_open()
        checked, _batch = check_feeds(images, self.inputs, self._max_batch)
        self.net.load(checked)
        self._state = "loaded"

    def execute(self) -> Trace:
        self._require_loaded("execute")
        seconds = self.net.execute()
        self._state = "executed"
        return Trace(host_to_device=0.0, compute=seconds, device_to_host=0.0, wall=seconds)

    def fetch(self) -> dict[str, NDArray[Any]]:
        self._require_open()
        if self._state != "executed":
            raise BackendError("nothing to fetch: execute the loaded batch first")
        outputs: dict[str, NDArray[Any]] = dict(self.net.fetch([info.name for info in self.outputs]))
        self.nonfinite = count_nonfinite(outputs)
        return outputs

    def layer_times(self, runs: int) -> LayerTable:
        """By running the network layer by layer."""
        self._require_loaded("profile")
        passes = [self.net.profile() for _ in range(runs)]
        return tuple(
            LayerRow(name, kind, "fp32", kind, "", median(each[position][2] for each in passes), (name,))
            for position, (name, kind, _) in enumerate(passes[0])
        )

    def overhead(self) -> dict[str, float]:
        """Median seconds that reaching Caffe cost beside the traces, by step; empty in process."""
        return self.net.overhead()

    def memory_bytes(self) -> int | None:
        """Resident memory of the process that Caffe runs in, host memory."""
        return self.net.memory_bytes()

    def details(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "caffe": self.net.version,
            "threads": self.net.threads,
            "openblas_coretype": self.net.coretype,
            "overhead_seconds": dict(self.overhead()),
        }
        if self.nonfinite:
            found["nonfinite_outputs"] = dict(self.nonfinite)
        return found

    def close(self) -> None:
        self._state = "closed"
        self.net.close()

    def _require_loaded(self, what: str) -> None:
        self._require_open()
        if self._state == "opened":
            raise BackendError(f"nothing to {what}: load a batch first")

    def _require_open(self) -> None:
        if self._state == "closed":
            raise BackendError("the session is closed; open another one")


BACKEND = CaffeBackend()
