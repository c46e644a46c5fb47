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
_CONFIRMED = 2  # valid runs of the highest rate, of at most three
_TRIES = 2  # runs of a rate in the bisection
_LOWEST_TRIES = 3
_PROBED_SECONDS = 0.5


@dataclass(frozen=True)
class RateSearch:
    """The end of a search: `rate` is the highest that holds, in queries per second, None where none does.

    `trials` are all rates tried, in order, with what came out.
    """

    rate: float | None
    trials: tuple[tuple[float, bool], ...]

    @property
    def failed_rates(self) -> frozenset[float]:
        """The rates of which no run was VALID: those above, by which the search came down to what it found."""
        return frozenset(rate for rate, _ in self.trials) - {rate for rate, valid in self.trials if valid}


def find_rate(is_valid: Callable[[float], bool], upper: float) -> RateSearch:
    """Bisect geometrically between `upper`, which no rate can exceed (the throughput offline), and a 64th of it.

    Ends where the bracket is within 2 %. One INVALID run is often a hiccup of the machine, and what a bisection leaves
    it never tries again: so a rate fails with two INVALID runs in a row, the lowest with three, and then no rate holds.
    One VALID run may be lucky: two of three more of the highest rate must be VALID. Where they are not, the rate is
    lowered by 2 % and must hold again, down to half of what was found.

    UsageError where `upper` is no rate.
    """
    if not (upper > 0 and math.isfinite(upper)):
        raise UsageError(f"no rates to search: upper {upper:g}")
    trials: list[tuple[float, bool]] = []

    def attempt(rate: float) -> bool:
        trials.append((rate, is_valid(rate)))
        return trials[-1][1]

    def holds(rate: float, tries: int) -> bool:
        return any(attempt(rate) for _ in range(tries))

    def is_confirmed(rate: float) -> bool:
        valid = [attempt(rate) for _ in range(_CONFIRMED)]
        return all(valid) or (any(valid) and attempt(rate))

    low, high = upper / _SPAN, upper
    if attempt(high):  # by design it does not: once is enough
        low = high
    elif not holds(low, _LOWEST_TRIES):
        return RateSearch(None, tuple(trials))
    while high / low > 1 + _PRECISION:
        middle = math.sqrt(low * high)
        if holds(middle, _TRIES):
            low = middle
        else:
            high = middle
    floor = low / 2
    while low >= floor:
        if is_confirmed(low):
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
