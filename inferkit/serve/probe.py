"""How fast the engine alone is: where a load begins, and what no rate can exceed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.serve.layout import Layout

if TYPE_CHECKING:
    from inferkit.backends.base import Session
    from inferkit.serve.samples import Samples

_SECONDS = 0.5


@dataclass(frozen=True)
class Probed:
    """`rate`: images per second in full batches. `expected`: a lower bound of the seconds that one query takes."""

    rate: float
    expected: float


def probe(session: Session, samples: Samples, max_batch: int, seconds: float = _SECONDS) -> Probed:
    """Run full batches for `seconds`, at least three, and take the quickest."""
    size = Layout(session.inputs).batch or max_batch
    batch = samples.rows([index % len(samples) for index in range(size)])
    session.run(batch)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        session.run(batch)
        times.append(time.perf_counter() - start)
    best = min(times)
    return Probed(size / best, best / size / 2)
