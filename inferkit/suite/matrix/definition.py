"""What the matrix declares: networks, how each is fed and judged, and the cases that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from inferkit.backends import DEFAULT_BACKEND, backend
from inferkit.gate.metrics import ACCURACY, LATENCY, LEAST_PRECISION_SHARE, SHOW
from inferkit.gate.outcome import Verdict
from inferkit.gate.stated.margins import Margins
from inferkit.measure.case import Case

MODES = ("latency", "throughput")  # of a case that is no service


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
    the place of its table, for messages. `top1` is in percent; `margins` are what it states for all of its cases, by
    metric. `shape` states what the model leaves open: sizes by the names of dimensions, or shapes by
    input; `batch_axis` the batch's axis by input. `precision_share` is how many percent of the work must run in the
    precision asked for, by precision; of those that it does not name the backend's table says it, or the default.
    `uint8_input`: engines are fed pixels, and the mean and scale of `preprocessing` are the network's.
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
    margins: Margins = field(default_factory=dict)
    calibration_images: int = 500
    shape: Mapping[str, int | tuple[int, ...]] = field(default_factory=dict)
    batch_axis: Mapping[str, int] = field(default_factory=dict)
    precision_share: Mapping[str, float] = field(default_factory=dict)
    uint8_input: bool = False
    where: str = field(default="", compare=False)

    @property
    def image_preprocessing(self) -> Mapping[str, Any]:
        """What is done to images before an engine is fed them."""
        from inferkit.data.opening import pixels_only  # which loads numpy, in every project with the plugin

        return pixels_only(self.preprocessing) if self.uint8_input else self.preprocessing


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
    margins: Margins = field(default_factory=dict)


@dataclass(frozen=True)
class BackendSettings:
    """One `[backends.NAME]` table: keyword arguments for building and for opening sessions, and margins.

    `precision_share` as of a network.
    """

    build: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    margins: Margins = field(default_factory=dict)
    precision_share: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SuiteSettings:
    """The `[suite]` table: how often and how long each case is measured; seconds.

    `reference`: with the reference network beside them, which shows a change of the machine. `confirm` says which cases
    are measured in turns with the baseline's commit, `confirm_budget` for how long each at most. `store` is the folder
    or URL of the content store (content_store.py), `outputs` what is asked of the outputs (gate/rules/outputs.py).
    `strict` are verdicts that fail beside those that always do.
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
    strict: frozenset[Verdict] = frozenset()


@dataclass(frozen=True)
class Requirements:
    """The `[require]` table: what a runner must have, so that losing it fails. Empty: nothing is required.

    `backends` can run here; `gpus` (names or patterns) are visible; cases that match `baselines` have one of this
    machine; no case of one of the `precisions` is UNSUPPORTED. `where` is the place of the table, for messages.
    """

    backends: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    where: str = field(default="", compare=False)

    def fails(self, case: Case | AccuracyCase) -> frozenset[Verdict]:
        """The verdicts that this case must not have."""
        failing: set[Verdict] = set()
        if case.backend in self.backends or case.precision in self.precisions:
            failing.add(Verdict.UNSUPPORTED)
        if isinstance(case, Case) and any(fnmatchcase(case.id, pattern) for pattern in self.baselines):
            failing |= {Verdict.NO_BASELINE, Verdict.SCREENED}
        return frozenset(failing)


@dataclass(frozen=True)
class Matrix:
    """Everything that was declared, in order.

    `margins` are those of all cases, `case_margins` those of the cases whose ids match a pattern.
    """

    networks: tuple[NetworkDefinition, ...]
    backends: Mapping[str, BackendSettings] = field(default_factory=dict)
    margins: Margins = field(default_factory=dict)
    case_margins: tuple[tuple[str, Margins], ...] = ()
    suite: SuiteSettings = field(default_factory=SuiteSettings)
    services: tuple[ServiceDefinition, ...] = ()
    require: Requirements = field(default_factory=Requirements)

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

    def margins_of(self, case: Case | AccuracyCase, network: NetworkDefinition) -> Margins:
        """What is stated for a case, by metric: the last matching pattern's, else its service's, its network's, its
        backend's, those of all cases.

        What a reduced precision may lose against FP32 says nothing of FP32 itself: of that only a pattern does.
        """
        service = self.service_cases().get(case) if isinstance(case, Case) else None
        margins = {**self.margins, **self.settings(case.backend).margins, **network.margins}
        margins |= {} if service is None else service.margins
        if case.precision == "fp32":
            margins.pop(ACCURACY, None)
        for pattern, stated in self.case_margins:
            if fnmatchcase(case.id, pattern):
                margins |= stated
        return margins

    def least_share(self, case: Case, network: NetworkDefinition) -> float | None:
        """Percent of a case's work that must run in the precision asked for: its network's, its backend's, else
        LEAST_PRECISION_SHARE; None for TF32, which is a permission, and where the backend is known to compute in FP32.
        """
        stated = {**self.settings(case.backend).precision_share, **network.precision_share}
        if case.precision in stated:
            return stated[case.precision]
        is_permission = case.precision in ("tf32", *backend(case.backend).facts.computes_in_fp32)
        return None if is_permission else LEAST_PRECISION_SHARE

    def latency_margin(self, case: Case, network: NetworkDefinition, default: float | None = None) -> float:
        """The margin of a case's latency, a share: what is stated, else `default`, else what the backend says."""
        stated = self.margins_of(case, network).get(LATENCY)
        if stated is not None:
            return stated.amount
        return backend(case.backend).facts.latency_margin if default is None else default
