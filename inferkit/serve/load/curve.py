"""Latency over offered load, one curve for each batching delay.

Every point is a run of MLPerf's load generator in its Server scenario: Poisson arrivals at the offered rate, latency
from the scheduled arrival, at least as many queries as a 99th percentile needs. All delays are measured at one rate
before the next rate, so that what drifts falls on all curves alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inferkit.errors import UsageError
from inferkit.measure.latency.statistics import samples_needed
from inferkit.serve.batching.batcher import Batcher
from inferkit.serve.batching.requests import BatchRecord
from inferkit.serve.load.loadgen import Load, LoadResult, run_load

if TYPE_CHECKING:
    from inferkit.backends.base import Session
    from inferkit.serve.load.samples import Samples

SCHEMA = 1
KIND = "latency-over-load"
# Shares of the engine's throughput that are offered where nobody names rates: where curves bend, more of them.
SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95)
_QUEUE_LIMIT = 1 << 22  # what waits shows as latency: a rejected query would be missing from the percentiles


@dataclass(frozen=True)
class RatePoint:
    """One rate at one delay. Rates in queries (rows) per second, times in seconds.

    `completed` is the rate that was reached while the load lasted; below `offered`, the service is saturated and the
    latencies grow with the run. `valid` says whether p99 held the bound, in the load generator's judgement. The queue
    times are from arrival at the batcher to the start of the batch. `mean_batch` is in rows.
    """

    offered: float
    completed: float | None
    queries: int
    p50: float | None
    p90: float | None
    p99: float | None
    queue_p50: float
    queue_p99: float
    mean_batch: float
    valid: bool
    reasons: tuple[str, ...]
    logs: str


@dataclass(frozen=True)
class Curve:
    """The points of one delay (seconds), by rising rate."""

    delay: float
    points: tuple[RatePoint, ...]


def measure_curves(
    session: Session,
    samples: Samples,
    max_batch: int,
    delays: Sequence[float],
    rates: Sequence[float],
    *,
    bound: float,
    seconds: float,
    logs: Path,
    on_point: Callable[[float, RatePoint], None] = lambda delay, point: None,
) -> tuple[Curve, ...]:
    """Offer every rate (queries per second) at every delay (seconds), each for `seconds`; `on_point` gets each.

    Raises UsageError for missing or invalid delays and rates, and the errors of `run_load`.
    """
    if not delays or not rates or min(rates) <= 0 or min(delays) < 0 or len(set(delays)) < len(delays):
        raise UsageError("a sweep needs distinct delays of at least 0, and rates above 0")
    points: dict[float, list[RatePoint]] = {delay: [] for delay in delays}
    for rate in sorted(set(rates)):
        for delay in delays:
            records: list[BatchRecord] = []
            load = Load("server", seconds, rate=rate, bound=bound, queries=samples_needed(99.0))
            folder = logs / f"delay-{delay * 1e6:.0f}us" / f"rate-{rate:.6g}"
            with Batcher(session, max_batch, delay=delay, queue_limit=_QUEUE_LIMIT, observer=records.append) as batcher:
                result = run_load(batcher, samples, load, folder)
            point = _point(result, records)
            points[delay].append(point)
            on_point(delay, point)
    return tuple(Curve(delay, tuple(measured)) for delay, measured in points.items())


def _point(result: LoadResult, records: Sequence[BatchRecord]) -> RatePoint:
    waits = np.concatenate([np.asarray(record.queue_seconds) for record in records])
    return RatePoint(
        offered=result.load.rate,
        completed=result.throughput,
        queries=int(sum(record.requests for record in records)),
        p50=result.latency("50.00"),
        p90=result.latency("90.00"),
        p99=result.latency("99.00"),
        queue_p50=float(np.quantile(waits, 0.5)),
        queue_p99=float(np.quantile(waits, 0.99)),
        mean_batch=sum(record.rows for record in records) / len(records),
        valid=bool(result.valid),
        reasons=result.reasons,
        logs=str(result.logs),
    )


def curves_as_dict(curves: Sequence[Curve], **facts: Any) -> dict[str, Any]:
    """The JSON of a sweep: `facts` (model, backend, …) beside `schema`, `kind` and the curves, in the units of Point.

    `kind` distinguishes it from other files; a reader of this schema ignores unknown keys.
    """
    return {"schema": SCHEMA, "kind": KIND, **facts, "curves": [asdict(curve) for curve in curves]}
