"""One replicate of a service case: a scenario of MLPerf's load generator in a fresh process, reduced to one datum.

The datum is the logarithm of a time, so that more is worse and the gate treats it like a latency: SingleStream's 90th
and MultiStream's 99th percentile, the time per query at Server's highest valid rate, the time per item Offline.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inferkit.errors import MeasurementError
from inferkit.measure.engine.engine_file import EngineJob, open_engine
from inferkit.measure.jobs.interpreter import Interpreter
from inferkit.measure.jobs.launch import LONG, replicate_of, run_job
from inferkit.measure.jobs.process import Arrays, main
from inferkit.measure.latency.iterations import COLUMNS
from inferkit.measure.latency.replicate import Replicate
from inferkit.measure.latency.statistics import samples_needed
from inferkit.measure.machine import busy_host
from inferkit.measure.machine.gpu import GpuTelemetry
from inferkit.measure.machine.host import HighWater, HostActivity, HostState, usable_cpus
from inferkit.measure.machine.lease import device_lease
from inferkit.measure.machine.processes import ProcessTimes
from inferkit.network.network import unit_of
from inferkit.serve.batching.batcher import Batcher
from inferkit.serve.batching.buckets import service_session
from inferkit.serve.load.loadgen import Load, LoadResult, load_generator, run_load
from inferkit.serve.load.samples import Samples, read_samples
from inferkit.serve.load.search import RateSearch, find_rate, probe

if TYPE_CHECKING:
    from inferkit.backends.base import Engine, Session

DATA = {
    "single-stream": "p90 latency",
    "multi-stream": "p99 latency of a query",
    "server": "time per query at the highest valid rate",
    "offline": "time per item",
}
_ONE_SAMPLE = ("single-stream", "server")  # scenarios whose queries are one sample each
_QUEUE_LIMIT = 1 << 22
_EVERYTHING = 1 << 30


@dataclass(frozen=True)
class ServiceSpec(EngineJob):
    """What one process puts on an engine. Times in seconds, `bound` at the 99th percentile of `server`.

    `accuracy` also runs the scenario in accuracy mode over the whole dataset, which must fit into memory. `search`
    False runs `server` once at half of the engine's throughput. The load generator's logs go below `logs`.
    """

    scenario: str
    logs: str
    session: Mapping[str, Any] = field(default_factory=dict)
    dataset: str | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    delay: float = 0.002
    bound: float = 0.015
    seconds: float = 2.0
    samples: int = 1024
    samples_per_query: int = 8
    accuracy: bool = False
    search: bool = True


def measure_service(spec: ServiceSpec) -> Replicate:
    """Measure in this process, which should be a fresh one; `service` of the result holds the load generator's figures.

    Raises BackendUnavailable where the load generator or the backend is missing, MeasurementError where the engine is
    too slow for the bound at any rate. Where it was the machine that no rate held, the replicate is invalid.
    """
    from inferkit.backends import backend

    load_generator()
    memory = HighWater()
    engine = open_engine(spec.engine)
    with device_lease(backend(spec.engine.backend).device(**spec.session)), _opened(engine, spec) as session:
        samples = read_samples(session.inputs, spec.dataset, spec.samples, spec.preprocessing)
        probed = probe(session, samples, spec.engine.max_batch)
        load = Load(
            spec.scenario,
            spec.seconds,
            expected=probed.expected,
            rate=probed.rate / 2 if spec.scenario == "server" else 1.5 * probed.rate,
            bound=spec.bound,
            queries=samples_needed(99.0),
            samples_per_query=spec.samples_per_query,
        )
        gpu = None if session.device is None else GpuTelemetry(session.device)
        processes, host_before, began = ProcessTimes.now(), HostState.now(), time.monotonic()
        with _watched(gpu) as watch:
            result, search, spoiled = _measured(session, samples, load, spec, probed.rate)
        activity = HostActivity.between(host_before, HostState.now(), time.monotonic() - began, processes)
        facts = _facts(result, search) | {"engine_rate": probed.rate}
        peak = memory.peak()  # of the load: accuracy mode holds the whole dataset
        if spec.accuracy:
            facts["top1"] = _accuracy(session, load, spec, probed.rate)
        telemetry = None if watch is None else watch.summary()
        invalid = [] if gpu is not None else list(activity.disturbances(usable_cpus()))
        invalid += [] if telemetry is None else telemetry.disturbances()
        if not invalid and search is not None:
            # A host that was busy for one run only is quiet on the average of the search.
            invalid += spoiled or ([] if search.rate is not None else [_no_rate(result, spec)])
        if not result.valid:
            invalid.append(f"MLPerf's load generator says INVALID: {', '.join(result.reasons)}")
        trace = np.full((1, len(COLUMNS)), np.nan)
        trace[0, COLUMNS.index("start")], trace[0, COLUMNS.index("wall")] = 0.0, facts["datum_seconds"]
        return Replicate(
            trace=trace,
            log_median=math.log(facts["datum_seconds"]),
            memory=peak,
            device_memory=session.memory_bytes(),
            build_seconds=engine.info.build_seconds,
            cold_start=None,
            engine_bytes=engine.info.size_bytes,
            version=engine.info.version,
            flavour=engine.info.flavour,
            warmup={},
            host={**activity.as_dict(), "cpus": usable_cpus()},
            gpu=None if telemetry is None else telemetry.as_dict(),
            invalid=tuple(invalid),
            service=facts,
            compiled=bool(session.compiled),
            unit="queries" if spec.scenario in _ONE_SAMPLE else unit_of(session.inputs),
        )


def _opened(engine: Engine, spec: ServiceSpec) -> Session:
    """The session that is served."""
    return service_session(engine, spec.engine.max_batch, **spec.session)


def _watched(gpu: GpuTelemetry | None) -> Any:
    return contextlib.nullcontext() if gpu is None else gpu.watch()


def _batcher(session: Session, spec: ServiceSpec) -> Batcher:
    # In the other scenarios nobody else's request could come while one waits.
    delay = spec.delay if spec.scenario == "server" else 0.0
    return Batcher(session, spec.engine.max_batch, delay=delay, queue_limit=_QUEUE_LIMIT)


def _measured(
    session: Session, samples: Samples, load: Load, spec: ServiceSpec, upper: float
) -> tuple[LoadResult, RateSearch | None, list[str]]:
    """The run that counts (where no rate was valid, that of the lowest), and the search that led to it.

    The texts say what disturbed the machine while a rate failed: it might have held.
    """
    logs = Path(spec.logs)
    with _batcher(session, spec) as batcher:
        if load.scenario != "server" or not spec.search:
            return run_load(batcher, samples, load, logs), None, []
        runs: list[LoadResult] = []
        disturbances: dict[float, tuple[str, ...]] = {}

        def is_valid(rate: float) -> bool:
            folder = logs / f"trial-{len(runs) + 1:02d}"
            processes, host, began = ProcessTimes.now(), HostState.now(), time.monotonic()
            runs.append(run_load(batcher, samples, replace(load, rate=rate), folder))
            if not runs[-1].valid and session.device is None:
                activity = HostActivity.between(host, HostState.now(), time.monotonic() - began, processes)
                disturbances[rate] = activity.disturbances(usable_cpus())
            return runs[-1].valid is True

        search = find_rate(is_valid, upper)
    # What failed at the rate that no engine reaches says nothing, disturbed or not.
    failed = search.failed_rates - {upper}
    spoiled = [f"while {rate:.1f} queries/s failed, {text}" for rate in failed for text in disturbances.get(rate, ())]
    if search.rate is None:
        return min(runs, key=lambda run: run.load.rate), search, spoiled[:1]
    chosen = next(run for run in reversed(runs) if run.load.rate == search.rate and run.valid)
    return chosen, search, spoiled[:1]


def _no_rate(result: LoadResult, spec: ServiceSpec) -> str:
    """Why no rate held, where most queries of the lowest one did. MeasurementError where they did not.

    An engine that is too slow for the bound is so at every query; where only the slowest hundredth is, the machine is
    not steady enough for the bound.
    """
    median = result.latency("50.00")
    said = f"no rate kept p99 <= {spec.bound * 1e3:g} ms, not even {result.load.rate:.1f} queries/s"
    if median is None or median > spec.bound:
        took = "" if median is None else f", half of whose queries took more than {median * 1e3:.3g} ms"
        raise MeasurementError(f"{said}{took}; the logs are in {spec.logs}")
    return f"{busy_host.UNSTEADY}: {said}, though half of its queries took at most {median * 1e3:.3g} ms"


def _accuracy(session: Session, load: Load, spec: ServiceSpec, rate: float) -> float | None:
    """Top-1 in percent over the whole dataset; None where it has no labels."""
    samples = read_samples(session.inputs, spec.dataset, _EVERYTHING, spec.preprocessing)
    if samples.labels is None:
        return None
    with _batcher(session, spec) as batcher:
        logs = Path(spec.logs) / "accuracy"
        return run_load(batcher, samples, replace(load, accuracy=True, queries=1, rate=rate / 2), logs).top1


def _facts(result: LoadResult, search: RateSearch | None) -> dict[str, Any]:
    """The figures of the run. `datum_seconds` is what the case is judged by, `datum` names it."""
    throughput = result.throughput
    scenario = result.load.scenario
    datum: float | None
    if scenario in ("single-stream", "multi-stream"):
        datum = result.latency("90.00" if scenario == "single-stream" else "99.00")
    elif scenario == "server":
        datum = 1 / result.load.rate
    else:
        datum = None if not throughput else 1 / throughput
    if not datum or not math.isfinite(datum):
        raise MeasurementError(f"the load generator's logs in {result.logs} do not contain the {DATA[scenario]}")
    return {
        "scenario": scenario,
        "datum": DATA[scenario],
        "datum_seconds": datum,
        "valid": result.valid,
        "reasons": list(result.reasons),
        "is_short": result.is_short,
        "seconds": result.load.seconds,
        "bound": result.load.bound if scenario == "server" else None,
        "rate": result.load.rate if scenario == "server" else None,
        "trials": None if search is None else [list(trial) for trial in search.trials],
        "images_per_second": throughput,
        "queries": result.figures.get("result_query_count"),
        # Offline everything is asked for at once: a latency would be a place in the queue.
        **{
            name: None if scenario == "offline" else result.latency(key)
            for name, key in (("p50", "50.00"), ("p90", "90.00"), ("p95", "95.00"), ("p99", "99.00"))
        },
        "top1": None,
        "logs": str(result.logs),
    }


_MODULE = "inferkit.serve.load.replicate"


def run_service(spec: ServiceSpec, name: str, *, by: Interpreter | None = None) -> Replicate:
    """One replicate of a service case in a fresh process. See inferkit.measure.jobs.launch.run_job for the errors."""
    return replicate_of(*run_job("service", spec.as_dict(), name, timeout=LONG, by=by, module=_MODULE), name)


def _service(spec: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
    replicate = measure_service(ServiceSpec.from_dict(spec))
    return replicate.as_dict(), {"trace": replicate.trace}


if __name__ == "__main__":
    sys.exit(main({"service": _service}))
