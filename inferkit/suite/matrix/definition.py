"""What the matrix declares: networks, how each is fed and judged, and the cases that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from inferkit.backends import DEFAULT_BACKEND, backend
from inferkit.gate.metrics import ACCURACY_TOLERANCE, SHOW
from inferkit.measure.case import Case


@dataclass(frozen=True)
class AccuracyCase:
    """model × precision × backend: top-1 and top-5 over a whole dataset."""

    model: str
    precision: str
    backend: str

    @property
    def id(self) -> str:
        """Readable and stable: `lenet-int8-onnxruntime`."""
        return f"{self.model}-{self.precision}-{self.backend}"


@dataclass(frozen=True)
class NetworkDefinition:
    """One `[[networks]]` table. `model`, `weights` and `dataset` are names or absolute paths.

    Without a `dataset` the network has latency cases only, on embedded images brought to its input's shape. `where` is
    the place of its table, for messages. `top1` and the tolerances are percentage points, `latency_margin` is a share
    (0.05: 5 %). `shape` states what the model leaves open: sizes by the names of dimensions, or shapes by
    input; `batch_axis` the batch's axis by input.
    """

    name: str
    model: str
    weights: str | None = None
    dataset: str | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    precisions: tuple[str, ...] = ("fp32",)
    batch_sizes: tuple[int, ...] = (1,)
    backends: tuple[str, ...] = (DEFAULT_BACKEND,)
    modes: tuple[str, ...] = ("latency",)
    accuracy: bool = True
    top1: float | None = None
    latency_margin: float | None = None
    accuracy_tolerance: float = ACCURACY_TOLERANCE
    calibration_images: int = 500
    shape: Mapping[str, int | tuple[int, ...]] = field(default_factory=dict)
    batch_axis: Mapping[str, int] = field(default_factory=dict)
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class ServiceDefinition:
    """One `[[services]]` table: a network of the matrix behind the batcher, under MLPerf's scenarios.

    `delay`, `p99` (the bound of `server`) and `duration` (of each run) are seconds. `samples` images make the load.
    `accuracy` also runs each scenario in accuracy mode over the network's whole dataset, in memory.
    """

    network: str
    scenarios: tuple[str, ...]
    precisions: tuple[str, ...] = ("fp32",)
    backends: tuple[str, ...] = (DEFAULT_BACKEND,)
    max_batch: int = 32
    delay: float = 0.002
    p99: float = 0.015
    duration: float = 2.0
    samples: int = 1024
    samples_per_query: int = 8
    accuracy: bool = False
    margin: float | None = None


@dataclass(frozen=True)
class BackendSettings:
    """One `[backends.NAME]` table: keyword arguments for building and for opening sessions, and a default margin."""

    build: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    latency_margin: float | None = None


@dataclass(frozen=True)
class SuiteSettings:
    """The `[suite]` table: how often and how long each case is measured; seconds.

    `reference`: with the reference network beside them, which shows a change of the machine. `confirm` says which cases
    are measured in turns with the baseline's commit, `confirm_budget` for how long each at most. `store` is the folder
    or URL of the content store (content_store.py), `outputs` what is asked of the outputs (gate/rules/outputs.py).
    """

    replicates: int = 3
    builds: int | None = None
    min_time: float = 0.5
    time_budget: float | None = None
    reference: bool = True
    confirm: str = "suspects"
    confirm_budget: float = 90.0
    store: str | None = None
    outputs: str = SHOW


@dataclass(frozen=True)
class Matrix:
    """Everything that was declared, in order. `margins` maps patterns of case ids to margins; the last match counts."""

    networks: tuple[NetworkDefinition, ...]
    backends: Mapping[str, BackendSettings] = field(default_factory=dict)
    margins: tuple[tuple[str, float], ...] = ()
    suite: SuiteSettings = field(default_factory=SuiteSettings)
    services: tuple[ServiceDefinition, ...] = ()

    def service_cases(self) -> dict[Case, ServiceDefinition]:
        """Every service case, in the order of the table: its mode is the scenario, its batch size the largest batch."""
        return {
            Case(service.network, precision, service.max_batch, backend, scenario): service
            for service in self.services
            for backend in service.backends
            for precision in service.precisions
            for scenario in service.scenarios
        }

    def all_cases(self) -> dict[Case, NetworkDefinition]:
        """Latency and service cases with their networks: everything that a baseline may hold."""
        networks = {network.name: network for network in self.networks}
        return self.cases() | {case: networks[case.model] for case in self.service_cases()}

    def cases(self) -> dict[Case, NetworkDefinition]:
        """Every latency case with its network, in the order of the table."""
        return {
            Case(network.name, precision, batch_size, backend, mode): network
            for network in self.networks
            for backend in network.backends
            for precision in network.precisions
            for batch_size in network.batch_sizes
            for mode in network.modes
        }

    def accuracy_cases(self) -> dict[AccuracyCase, NetworkDefinition]:
        """Every accuracy case with its network: networks that have a dataset and do not refuse."""
        return {
            AccuracyCase(network.name, precision, backend): network
            for network in self.networks
            if network.dataset is not None and network.accuracy
            for backend in network.backends
            for precision in network.precisions
        }

    def settings(self, backend: str) -> BackendSettings:
        """What the matrix says of a backend, or the defaults."""
        return self.backends.get(backend, BackendSettings())

    def latency_margin(self, case: Case, network: NetworkDefinition, default: float | None = None) -> float:
        """The margin of a case: the last matching pattern, else the service's, network's, backend's, the default.

        Without `default` it is the one that the backend says of itself.
        """
        matching = [margin for pattern, margin in self.margins if fnmatchcase(case.id, pattern)]
        service = self.service_cases().get(case)
        stated = [
            None if service is None else service.margin,
            network.latency_margin,
            self.settings(case.backend).latency_margin,
        ]
        chosen = matching[-1:] + [margin for margin in stated if margin is not None]
        if not chosen and default is not None:
            return default
        return chosen[0] if chosen else backend(case.backend).facts.latency_margin
