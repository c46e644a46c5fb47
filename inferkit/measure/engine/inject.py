"""Injected slowdowns for the gate's self-test: they are real, so they are measured and not computed.

A share of 0.02 is 2 %. `latency` delays every execution by this share of its own time, `tail` every `TAIL_EVERY`-th
one; `memory` allocates and touches this share of what the engine took; `build` waits this share of the build time and
counts it with the build; `accuracy` makes this share of the predictions wrong.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.base import Session, Trace
from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.backends.base import Feeds

KINDS = ("latency", "tail", "memory", "build", "accuracy")
TAIL_EVERY = 50  # 2 % of the executions: the median does not move, the 99th percentile does


def checked(inject: Mapping[str, float]) -> dict[str, float]:
    """The shares by kind. UsageError for an unknown kind or a share that is negative or above 100."""
    for kind, share in inject.items():
        if kind not in KINDS:
            raise UsageError(f"{kind!r} cannot be injected; there are {', '.join(KINDS)}")
        if not 0 <= share <= 100 or (kind == "accuracy" and share > 1):
            raise UsageError(f"a share of {share:g} cannot be injected as {kind}")
    return dict(inject)


class SlowedSession(Session):
    """A session whose executions take longer by a busy wait inside the timed region, as a slower engine's would."""

    def __init__(self, session: Session, latency: float = 0.0, tail: float = 0.0) -> None:
        self._session = session
        self._latency, self._tail = latency, tail
        self._count = 0
        self.inputs, self.outputs, self.device = session.inputs, session.outputs, session.device

    @property
    def batches_per_round(self) -> int:  # type: ignore[override]
        return self._session.batches_per_round

    def load(self, images: Feeds) -> None:
        self._session.load(images)

    def execute(self) -> Trace:
        trace = self._session.execute()
        self._count += 1
        share = self._latency + (self._tail if self._count % TAIL_EVERY == 0 else 0.0)
        ended = time.perf_counter()
        until = ended + share * trace.wall
        while time.perf_counter() < until:
            pass
        # What the wrapper itself takes is no part of the engine: only the wait is added, as it really was.
        waited = time.perf_counter() - ended if share else 0.0
        return replace(trace, compute=trace.compute + waited, wall=trace.wall + waited)

    def fetch(self) -> dict[str, NDArray[Any]]:
        return self._session.fetch()

    def close(self) -> None:
        self._session.close()

    def memory_bytes(self) -> int | None:
        return self._session.memory_bytes()

    def details(self) -> dict[str, Any]:
        return self._session.details()


def slowed(session: Session, inject: Mapping[str, float]) -> Session:
    """The session, slower where that was asked for."""
    if not inject.get("latency") and not inject.get("tail"):
        return session
    return SlowedSession(session, inject.get("latency", 0.0), inject.get("tail", 0.0))


def ballast(inject: Mapping[str, float], peak: int) -> NDArray[np.uint8] | None:
    """Touched memory, a share of `peak` bytes; keep it until memory was read."""
    share = inject.get("memory", 0.0)
    return np.ones(int(share * peak), np.uint8) if share else None


def longer_build(inject: Mapping[str, float], seconds: float | None) -> float | None:
    """The build time, after a wait of a share of it."""
    share = inject.get("build", 0.0)
    if not share or seconds is None:
        return seconds
    began = time.perf_counter()
    time.sleep(share * seconds)
    return seconds + (time.perf_counter() - began)


def wrong(inject: Mapping[str, float], images: int) -> NDArray[np.bool_]:
    """Which predictions are to be made wrong: a share of them, the same ones every time."""
    chosen = np.random.default_rng(0).permutation(images)[: round(inject.get("accuracy", 0.0) * images)]
    mask = np.zeros(images, bool)
    mask[chosen] = True
    return mask
