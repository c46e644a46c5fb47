"""The actor that runs on the machines of a cluster: it owns one GPU, or the CPUs of one socket.

Every measurement is a process of its own. Answers are dicts: {"ok": value}, {"unsupported": [reason, hint]} or
{"failed": message}; an actor that raises something else has a fault of its own.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inferkit.cluster.packing import pack_files, unpack
from inferkit.cluster.schedule import UNKNOWN
from inferkit.errors import BackendUnavailable, InferkitError, MeasurementError
from inferkit.version import __version__

Answer = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated: everything but the part of the dataset. `key` names the network that is shipped with it.

    `dataset` is a name, or a path that every machine sees.
    """

    key: str
    backend: str
    precision: str
    dataset: str
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 100
    build: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)


def probe_node() -> dict[str, Any]:
    """Facts of a machine, asked before anything is placed on it."""
    return {"machine": machine_id(), "sockets": sockets(), "version": __version__, "process": os.getpid()}


class ClusterWorker:
    """The actor. `cpus` are those that it and its processes are bound to (empty: the socket of its GPU, else all)."""

    def __init__(self, socket: str | None, cpus: Sequence[int]) -> None:
        self._socket = socket
        self._on_gpu = socket is None
        self._folder = tempfile.TemporaryDirectory(prefix="inferkit-worker-")
        self._unpacked: dict[str, Path] = {}
        self._campaign: Any = None
        self.kind, self._device = self._identity()
        bound = cpus or sockets().get(self._socket or "", ())
        if bound and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, bound)

    def facts(self) -> dict[str, Any]:
        """Facts of this worker: `kind` of device, `group` of workers on the same socket, process and version."""
        # Where the system does not tell a GPU's socket, every worker of the machine counts as its neighbour.
        group = f"{machine_id()}/{self._socket or UNKNOWN}"
        return {
            "kind": self.kind,
            "group": group,
            "device": self._device,
            "process": os.getpid(),
            "version": __version__,
        }

    def load(self) -> tuple[Any, int]:
        """The state of the host (busy is everybody's time, own this worker's and its processes') and its CPUs."""
        from inferkit.measure.machine.host import HostState, usable_cpus

        return HostState.now(), usable_cpus()

    def build(self, job: Evaluation, network: bytes) -> Answer:
        """Build the engine of this worker's kind of device; its files, packed."""
        return _answered(lambda: self._build(job, network))

    def evaluate(self, job: Evaluation, network: bytes, engine: bytes | None, start: int, count: int) -> Answer:
        """`count` images from number `start` on: the arrays of an Accuracy, and how many images the dataset has."""
        return _answered(lambda: self._evaluate(job, network, engine, start, count))

    def supports(self, backend: str, precision: str) -> tuple[bool, str, str]:
        """Whether this device runs a precision with a backend, else why not and a hint."""
        from inferkit.suite.campaign.target import availability

        available = availability(backend, precision)
        return available.ok, available.reason, available.hint

    def engine(self, shipped: Any, case: Any, network: Any, batch: int, content: bytes) -> Answer:
        """Build a case's engine for this kind of device; its files, packed."""

        def work() -> bytes:
            prepared = self._adopt(shipped, case, network, content)
            campaign = self._campaign
            build = campaign.matrix.settings(case.backend).build
            engine = campaign.artifacts.engine(prepared, case.backend, case.precision, batch, build, case.id)
            path = Path(engine.file)
            return pack_files(path, path.with_name(f"{path.name}.json"))

        return _answered(work)

    def measure(self, shipped: Any, record: Any, count: int, content: bytes, engine: bytes | None) -> Answer:
        """`count` replicates of a latency or service case: its record. Holds the lease of the CPU socket meanwhile."""
        from inferkit.measure.machine.lease import device_lease

        def work() -> Any:
            case = record.case
            self._adopt(shipped, case, record.network, content, engine, case.batch_size)
            # Workers of other Ray clusters on this machine take their turn; who measures outside of one takes no such
            # lease, only that of its GPU.
            with device_lease(f"socket-{self._socket or UNKNOWN}"):
                return self._campaign.measure(record, count)

        return _answered(work)

    def accuracy(self, shipped: Any, case: Any, network: Any, content: bytes, engine: bytes | None) -> Answer:
        """Accuracy and fingerprint of a case, over the whole dataset."""
        from inferkit.suite.campaign.evaluations import ACCURACY_BATCH

        def work() -> Any:
            self._adopt(shipped, case, network, content, engine, ACCURACY_BATCH)
            return self._campaign.evaluations.evaluate(case, network)

        return _answered(work)

    def _adopt(
        self, shipped: Any, case: Any, network: Any, content: bytes, engine: bytes | None = None, batch: int = 0
    ) -> Path:
        """Give what was shipped to this worker's own campaign; returns the prepared network's folder."""
        from inferkit.gate.files.baseline import BaselineStore
        from inferkit.suite.campaign.campaign import Campaign

        matrix, settings = shipped
        if self._campaign is None:
            self._campaign = Campaign(matrix, BaselineStore(Path(self._folder.name, "no baselines")), settings)
        artifacts = self._campaign.artifacts
        name = f"{network.name} {case.precision}"
        folder = self._at(name, content)
        artifacts.adopt_network(network, case.precision, folder)
        if engine is not None:
            plan = self._plan(f"{name} batch {batch}, engine", engine)
            build = matrix.settings(case.backend).build
            artifacts.adopt_engine(folder, case.backend, batch, build, plan)
        return folder

    def _identity(self) -> tuple[str, str | None]:
        if not self._on_gpu:
            from inferkit.measure.machine.host import cpu_model

            return f"CPU {cpu_model()}", None
        from inferkit.backends.gpus import find_gpu

        gpu = find_gpu()
        with contextlib.suppress(Exception):  # no NVML, or a GPU that it does not know: the socket stays unknown
            import pynvml

            pynvml.nvmlInit()
            info = pynvml.nvmlDeviceGetPciInfo(pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid))
            bus_id = info.busId.decode() if isinstance(info.busId, bytes) else info.busId
            self._socket = socket_of_gpu(bus_id)
        return f"{gpu.name}, CUDA {gpu.driver}", gpu.uuid

    def _at(self, key: str, content: bytes) -> Path:
        """The folder with this content, unpacked once."""
        if key not in self._unpacked:
            folder = Path(self._folder.name, str(len(self._unpacked)))
            unpack(content, folder)
            self._unpacked[key] = folder
        return self._unpacked[key]

    def _build(self, job: Evaluation, network: bytes) -> bytes:
        from inferkit.measure.engine.engine_file import EngineSpec
        from inferkit.measure.jobs.interpreter import with_environment
        from inferkit.measure.jobs.launch import build_engine_file
        from inferkit.suite.campaign.target import environment_of

        prepared = self._at(job.key, network)
        spec = EngineSpec(str(prepared), job.backend, job.batch_size, job.build)
        with tempfile.TemporaryDirectory(prefix="inferkit-engine-") as folder:
            by = with_environment(None, environment_of(job.backend, job.precision))
            path = Path(build_engine_file(spec, Path(folder), job.key, by=by))
            return pack_files(path, path.with_name(f"{path.name}.json"))

    def _evaluate(
        self, job: Evaluation, network: bytes, engine: bytes | None, start: int, count: int
    ) -> dict[str, Any]:
        from inferkit.data import open_dataset
        from inferkit.measure.accuracy.top_k import AccuracySpec
        from inferkit.measure.engine.engine_file import EngineSpec
        from inferkit.measure.jobs.interpreter import with_environment
        from inferkit.measure.jobs.launch import run_accuracy
        from inferkit.suite.campaign.target import environment_of

        with open_dataset(job.dataset) as dataset:
            images = len(dataset)
        file = None if engine is None else str(self._plan(f"{job.key} engine", engine))
        made = EngineSpec(str(self._at(job.key, network)), job.backend, job.batch_size, job.build, file)
        spec = AccuracySpec(made, job.dataset, job.preprocessing, job.session, start=start, count=count)
        by = with_environment(None, environment_of(job.backend, job.precision))
        accuracy = run_accuracy(spec, f"{job.key}, images {start} to {start + count}", by=by)
        return {"accuracy": accuracy, "images": images}

    def _plan(self, key: str, engine: bytes) -> Path:
        """The engine's file among those that were shipped; the other is its metadata."""
        folder = self._at(key, engine)
        return next(path for path in sorted(folder.iterdir()) if path.suffix != ".json")


def value_of(answer: Answer, name: str = "") -> Any:
    """What a worker answered. Raises the error that it answered with, with `name` before it."""
    if "unsupported" in answer:
        raise BackendUnavailable(*answer["unsupported"])
    if "failed" in answer:
        raise MeasurementError(f"{name}: {answer['failed']}" if name else answer["failed"])
    return answer["ok"]


def _answered(work: Callable[[], Any]) -> Answer:
    try:
        return {"ok": work()}
    except BackendUnavailable as error:
        return {"unsupported": [error.reason, error.hint]}
    except InferkitError as error:
        return {"failed": str(error)}


_CPUS = Path("/sys/devices/system/cpu")
_PCI = Path("/sys/bus/pci/devices")


def machine_id() -> str:
    """The same for every process of a machine, another for every machine: the kernel's boot id, else the host name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import socket

        return socket.gethostname()


def sockets() -> dict[str, tuple[int, ...]]:
    """The CPUs that this process may use, by the socket they are in; one socket where the system does not tell."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    by_socket: dict[str, list[int]] = {}
    for cpu in usable:
        try:
            name = (_CPUS / f"cpu{cpu}" / "topology" / "physical_package_id").read_text().strip()
        except OSError:
            name = "0"
        by_socket.setdefault(name, []).append(cpu)
    return {name: tuple(members) for name, members in by_socket.items()}


def socket_of_gpu(bus_id: str, pci: Path = _PCI, cpus: Path = _CPUS) -> str | None:
    """The socket that a GPU's PCI address (`00000000:01:00.0`) belongs to; None where the system does not tell."""
    domain, _, rest = bus_id.lower().partition(":")
    try:
        local = (pci / f"{domain[-4:]}:{rest}" / "local_cpulist").read_text().strip()
        first = int(local.replace("-", ",").split(",")[0])
        return (cpus / f"cpu{first}" / "topology" / "physical_package_id").read_text().strip()
    except (OSError, ValueError):
        return None
