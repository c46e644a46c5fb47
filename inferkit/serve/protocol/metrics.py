"""Prometheus metrics: queue times, batch sizes, run times, latencies, and how requests ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferkit.serve.batching.requests import BatchRecord

# Seconds: from 100 us, two steps an octave up to 3 s.
_SECONDS = tuple(1e-4 * 2 ** (step / 2) for step in range(31))


class Metrics:
    """Counters and histograms of one server, in a registry of their own."""

    def __init__(self, max_batch: int, waiting: Callable[[], int]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        steps = sorted({min(1 << power, max_batch) for power in range(max_batch.bit_length() + 1)})

        def histogram(name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()) -> Histogram:
            return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

        self._queue = histogram("inferkit_queue_seconds", "Time from arrival to the start of the run", _SECONDS)
        self._run = histogram("inferkit_run_seconds", "Time of one batch in the engine", _SECONDS)
        self._rows = histogram("inferkit_batch_rows", "Rows in a batch", tuple(map(float, steps)))
        self._latency = histogram("inferkit_request_seconds", "Time from request to answer", _SECONDS, ("protocol",))
        self._requests = Counter(
            "inferkit_requests", "Requests by how they ended", ("protocol", "outcome"), registry=self.registry
        )
        gauge = Gauge("inferkit_waiting_rows", "Rows that wait in the queue", registry=self.registry)
        gauge.set_function(lambda: float(waiting()))

    def batch(self, record: BatchRecord) -> None:
        """Count one batch; the batcher's observer."""
        self._run.observe(record.run_seconds)
        self._rows.observe(record.rows)
        for seconds in record.queue_seconds:
            self._queue.observe(seconds)

    def request(self, protocol: str, outcome: str, seconds: float) -> None:
        """Count one request: how it ended, and where it was answered how long it took."""
        self._requests.labels(protocol, outcome).inc()
        if outcome == "answered":  # what is refused at once would make the service look quicker than it is
            self._latency.labels(protocol).observe(seconds)

    def text(self) -> tuple[bytes, str]:
        """The page that Prometheus reads, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST
