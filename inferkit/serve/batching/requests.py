"""One request and one batch on their way through the batcher, and the record of a batch that was run."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from inferkit.serve.batching.layout import Arrays, Signature

Outputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class BatchRecord:
    """One batch that was run, for whoever keeps count: rows, requests, each request's wait and the run, in seconds."""

    rows: int
    queue_seconds: tuple[float, ...]
    run_seconds: float
    failed: int

    @property
    def requests(self) -> int:
        """How many requests were in the batch."""
        return len(self.queue_seconds)


class Request:
    __slots__ = ("arrays", "arrived", "deadline", "due", "future", "rows", "signature")

    def __init__(self, arrays: Arrays, rows: int, signature: Signature, deadline: float | None) -> None:
        self.arrays = arrays
        self.rows = rows
        self.signature = signature
        self.deadline = deadline  # seconds from submission, then on the clock once it is queued
        self.arrived = self.due = 0.0
        self.future: Future[Outputs] = Future()

    def fail(self, error: Exception) -> None:
        """End a request that was not taken yet, unless it was cancelled."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class RequestBatch:
    __slots__ = ("arrays", "began", "memory", "outcomes", "requests", "rows", "seconds")

    def __init__(self, requests: list[Request]) -> None:
        self.requests = requests
        self.rows = sum(request.rows for request in requests)
        self.arrays: Arrays | None = None
        self.memory: Arrays | None = None  # what they lie in, where that is used again
        self.outcomes: list[Mapping[str, NDArray[Any]] | BaseException] = []  # one for all, or one for each request
        self.began = self.seconds = 0.0
