"""One replicate: an engine opened, warmed up and timed in a fresh process. Keeps raw timestamps, derives figures."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.agreement import TOLERANCE, Outputs, differences
from inferkit.errors import InferkitError, MeasurementError
from inferkit.measure.engine import inject
from inferkit.measure.engine.engine_file import EngineJob, open_engine
from inferkit.measure.engine.prepared_network import load_prepared, timing_batch
from inferkit.measure.images import stand_ins
from inferkit.measure.latency import statistics
from inferkit.measure.latency.iterations import COMPUTE, WALL
from inferkit.measure.latency.observed import observe
from inferkit.measure.latency.outputs import KeptOutputs
from inferkit.measure.latency.warmup import warm_up
from inferkit.measure.machine.gpu import GpuTelemetry
from inferkit.measure.machine.host import HighWater, HostActivity
from inferkit.measure.machine.lease import device_lease
from inferkit.network.network import unit_of

if TYPE_CHECKING:
    from inferkit.backends.base import Session


@dataclass(frozen=True)
class ReplicateSpec(EngineJob):
    """What one process measures, with batches of the engine's largest size. Times in seconds.

    Iterations run until `min_time` has passed and there are `min_iterations`, at most `max_iterations`; a network so
    slow that these take more than `max_time` gets as many as fit, at least three. `spawned` is
    the parent's time.monotonic() before it started the process: cold start counts from there. `inject` asks for a real
    slowdown, by kind: see inject.py. `engine.prepared` is empty for an engine file that comes without its network.
    """

    session: Mapping[str, Any] = field(default_factory=dict)
    min_time: float = 0.5
    min_iterations: int = 11
    max_iterations: int = 20_000
    max_time: float = 20.0
    warmup_limit: float = 1.0
    details: bool = False
    spawned: float | None = None
    inject: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Replicate:
    """What one process measured. `trace` is [iterations, len(COLUMNS)], seconds, NaN where a part is not known.

    `log_median` of the wall time is the datum. Memory in bytes: `memory` of the host above the process before the
    load, `device_memory` where the backend knows it. `host` and `gpu` say what else went on (`gpu` is None on a CPU),
    `invalid` why the machine was not in a state to measure. `service` is what a load generator says, where one made the
    load (serve/load/replicate.py); the trace then is one row, with the datum. `build` numbers the engine, where
    several were built. `compiled`: kernels had to be compiled first, which takes seconds and memory, and which
    processes after it are spared. `outputs` is what was computed of the timing batch (outputs.py), where `details` were
    asked for. `unit` is what a throughput counts (images, items, queries), None of older versions.
    """

    trace: NDArray[np.float64]
    log_median: float
    memory: int
    device_memory: int | None
    build_seconds: float | None
    cold_start: float | None
    engine_bytes: int | None
    version: str | None
    flavour: str | None
    warmup: Mapping[str, Any]
    host: Mapping[str, Any]
    gpu: Mapping[str, Any] | None = None
    invalid: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    service: Mapping[str, Any] | None = None
    build: int = 0
    compiled: bool = False
    unit: str | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def precision_share(self) -> float | None:
        """The share of the work that ran in the precision asked for, in percent; None where it is not known.

        `details` have it, with the layers that did not (backends/precision_share.py).
        """
        share = self.details.get("precision_share")
        percent = share.get("percent") if isinstance(share, Mapping) else None
        return float(percent) if isinstance(percent, int | float) else None

    @property
    def walls(self) -> NDArray[np.float64]:
        """The wall time of every iteration, seconds."""
        return self.trace[:, WALL]

    @property
    def on_busy_cpus(self) -> bool:
        """Whether it ran on CPUs that others used meanwhile."""
        known = self.gpu is None and "cpus" in self.host
        return known and bool(HostActivity.from_dict(self.host).busy(self.host["cpus"]))

    def as_dict(self) -> dict[str, Any]:
        """Everything but the trace, for JSON."""
        return {key: value for key, value in self.__dict__.items() if key != "trace"}


def measure_replicate(spec: ReplicateSpec) -> Replicate:
    """Measure in this process, which should be a fresh one. Raises the errors of backends, and MeasurementError."""
    from inferkit.backends import backend

    injected = inject.checked(spec.inject)
    memory = HighWater()
    engine = open_engine(spec.engine)
    build_seconds = inject.longer_build(injected, engine.info.build_seconds)
    device = backend(spec.engine.backend).device(**spec.session)
    with device_lease(device) as waited, engine.session(**spec.session) as opened:
        session = inject.slowed(opened, injected)
        session.load(_feeds(session, spec))
        session.execute()
        cold_start = None if spec.spawned is None else time.monotonic() - spec.spawned - waited
        first = session.fetch()
        _check_finite(first, spec.engine.backend)
        gpu = None if session.device is None else GpuTelemetry(session.device)
        gc.collect()
        gc.freeze()
        gc.disable()
        warmth = warm_up(
            lambda: session.execute().wall, limit=spec.warmup_limit, clock=None if gpu is None else gpu.sm_clock
        )
        measured = observe(session, spec, spec.engine.max_batch, gpu)
        gc.enable()
        _check_results(first, session.fetch(), spec.engine.backend)
        extra = inject.ballast(injected, memory.peak())
        peak = memory.peak()
        del extra
        return Replicate(
            trace=measured.trace,
            log_median=_datum(measured.trace, spec.engine.backend),
            memory=peak,
            device_memory=session.memory_bytes(),
            build_seconds=build_seconds,
            cold_start=cold_start,
            engine_bytes=engine.info.size_bytes,
            version=engine.info.version,
            flavour=engine.info.flavour,
            warmup=asdict(warmth),
            host=measured.host,
            gpu=None if measured.gpu is None else measured.gpu.as_dict(),
            invalid=measured.invalid,
            details=_details_or_why(opened, measured.trace, spec, gpu) if spec.details else {},
            compiled=bool(opened.compiled),
            unit=unit_of(opened.inputs),
            outputs=_kept(first, session, spec, engine.info.precision) if spec.details else {},
        )


def _feeds(session: Session, spec: ReplicateSpec) -> dict[str, NDArray[Any]]:
    """The prepared images, or stand-ins for an engine file that comes without its network."""
    if spec.engine.prepared:
        return timing_batch(Path(spec.engine.prepared), spec.engine.max_batch)
    return stand_ins(session.inputs, spec.engine.max_batch)


def _kept(outputs: Outputs, session: Session, spec: ReplicateSpec, precision: str) -> dict[str, Any]:
    """What is kept of outputs. Their batch is made again: kept since `load` it would count as the engine's memory."""
    return KeptOutputs.of(outputs, _feeds(session, spec), precision).as_dict()


def _check_finite(outputs: Outputs, backend: str) -> None:
    """MeasurementError where an output is nothing but NaN and infinities: no comparison would see it change."""
    for name, array in outputs.items():
        if array.size and not np.isfinite(array.astype(np.float64)).any():
            raise MeasurementError(
                f"{backend} computed no finite value of output {name!r}: its times say nothing; `inferkit accuracy "
                "--layers` shows the layer that overflows"
            )


def _check_results(first: Outputs, last: Outputs, backend: str) -> None:
    """MeasurementError where the same input has other results after the measurement than before it."""
    for name, difference in differences(last, first).items():
        if not difference <= TOLERANCE:
            raise MeasurementError(
                f"{backend} computed something else after the measurement than before it, from the same input: output "
                f"{name!r} differs by {difference:.2g} of its norm; its times say nothing"
            )


def _datum(trace: NDArray[np.float64], backend: str) -> float:
    try:
        return statistics.log_median(trace[:, WALL])
    except ValueError as error:
        raise MeasurementError(f"{backend} measured invalid times: {error}") from error


def _details_or_why(
    session: Session, trace: NDArray[np.float64], spec: ReplicateSpec, gpu: GpuTelemetry | None
) -> dict[str, Any]:
    """The details, or why there are none: no measurement is lost for want of them."""
    try:
        return _details(session, trace, spec, gpu)
    except InferkitError as error:
        return {"failed": str(error)}


def _details(
    session: Session, trace: NDArray[np.float64], spec: ReplicateSpec, gpu: GpuTelemetry | None
) -> dict[str, Any]:
    """The backend's details, the layer table, the share that ran in the precision asked for, and how far the execution
    is from what a known GPU's sheet allows.
    """
    from inferkit.backends.precision_share import precision_share
    from inferkit.measure.layers.profile import layer_table
    from inferkit.measure.layers.roofline import card_of, limit_of, work_of

    details = session.details()
    table = layer_table(session, float(np.median(trace[:, WALL])))
    if table:
        details["layers"] = [row.as_dict() for row in table]
    if not spec.engine.prepared:
        return details
    network = load_prepared(Path(spec.engine.prepared))
    with contextlib.suppress(InferkitError):  # whose layers cannot be timed may be inspected, or not
        table = table or session.layers()
    details["precision_share"] = precision_share(network, table, spec.engine.build).as_dict()
    card = card_of(gpu.facts().get("name")) if gpu is not None else None
    if card is not None:
        limit = limit_of(work_of(network), network.precision, spec.engine.max_batch, card)
        compute = float(np.median(trace[:, COMPUTE]))
        details["limit"] = {**limit.as_dict(), "share": limit.seconds / compute if compute > 0 else None}
    return details
