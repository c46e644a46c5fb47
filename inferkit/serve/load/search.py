"""A search by bisection for the highest rate that keeps a latency bound; each trial is a run of the load generator."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.errors import UsageError
from inferkit.serve.batching.layout import Layout

if TYPE_CHECKING:
    from inferkit.backends.base import Session
    from inferkit.serve.load.samples import Samples

_SPAN = 64.0  # how far below the upper bound rates are tried
_PRECISION = 0.02
_CONFIRMED = 2
_LOWEST_TRIES = 3
_PROBED_SECONDS = 0.5


@dataclass(frozen=True)
class RateSearch:
    """The end of a search: `rate` is the highest, in queries per second, that was VALID in every one of its runs, None
    where none was.

    `trials` are all rates tried, in order, with what came out.
    """

    rate: float | None
    trials: tuple[tuple[float, bool], ...]


def find_rate(is_valid: Callable[[float], bool], upper: float) -> RateSearch:
    """Bisect geometrically between `upper`, which no rate can exceed (the throughput offline), and a 64th of it.

    Ends where the bracket is within 2 %. No rate holds where the lowest fails three times in a row: once is a hiccup of
    the machine. The highest valid rate is run twice again, since one run may be lucky and validity is not monotone;
    where it fails, the rate is lowered by 2 % and must hold again, down to half of what was found.

    UsageError where `upper` is no rate.
    """
    if not (upper > 0 and math.isfinite(upper)):
        raise UsageError(f"no rates to search: upper {upper:g}")
    trials: list[tuple[float, bool]] = []

    def attempt(rate: float) -> bool:
        trials.append((rate, is_valid(rate)))
        return trials[-1][1]

    low, high = upper / _SPAN, upper
    if attempt(high):
        low = high
    elif not any(attempt(low) for _ in range(_LOWEST_TRIES)):
        return RateSearch(None, tuple(trials))
    while high / low > 1 + _PRECISION:
        middle = math.sqrt(low * high)
        if attempt(middle):
            low = middle
        else:
            high = middle
    floor = low / 2
    while low >= floor:
        if all(attempt(low) for _ in range(_CONFIRMED)):
            return RateSearch(low, tuple(trials))
        low *= 1 - _PRECISION
    return RateSearch(None, tuple(trials))


@dataclass(frozen=True)
class Probed:
    """`rate`: samples per second in full batches. `expected`: a lower bound of the seconds that one query takes."""

    rate: float
    expected: float


def probe(session: Session, samples: Samples, max_batch: int) -> Probed:
    """Run full batches for half a second, at least three, and take the quickest."""
    size = Layout(session.inputs).batch or max_batch
    batch = samples.rows([index % len(samples) for index in range(size)])
    session.run(batch)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < _PROBED_SECONDS:
        start = time.perf_counter()
        session.run(batch)
        times.append(time.perf_counter() - start)
    best = min(times)
    return Probed(size / best, best / size / 2)
