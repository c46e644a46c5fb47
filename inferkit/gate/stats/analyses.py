"""Interim analyses without more false alarms: the counts at which a case is tested, and alpha spending.

A case that is not clear yet is measured further, so it is tested several times. A plan says at which counts of
replicates, and a spending function how much of the error each analysis may use: alpha × fraction ** 1.5 by the time
that this fraction of the planned replicates is there. The analyses share the error by the union bound (the p-value of
one is compared with what it adds to the spent alpha), which holds whatever their correlation: between paired blocks,
and between a fixed baseline and growing measurements. The exact boundaries of independent increments would be 0.05 to
0.1 standard errors lower; that is the price of the plainness.

Sources: K. K. G. Lan and D. L. DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70 (1983);
K. Kim and D. L. DeMets, "Design and analysis of group sequential tests based on the type I error spending rate
function", Biometrika 74 (1987), whose power family this is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_EXPONENT = 1.5


@dataclass(frozen=True)
class AnalysisPlan:
    """At which counts of replicates (or blocks) a case is tested, and how the error is spent on these analyses.

    `least`: analyses at fewer replicates reject nothing, they only say what is measured again; their share of the
    error goes to the first analysis that may. Two slow processes of three look like a slowdown, and are rarely seen
    again.
    """

    counts: tuple[int, ...]
    least: int = 0

    def __post_init__(self) -> None:
        if not self.counts or self.counts[0] < 1 or any(np.diff(self.counts) <= 0):
            raise ValueError(f"analyses must be at increasing counts from 1, not {self.counts}")

    @property
    def last(self) -> int:
        """The index of the last analysis."""
        return len(self.counts) - 1

    @property
    def first(self) -> int:
        """The first analysis that may reject: the last one may in any case."""
        enough = (analysis for analysis, count in enumerate(self.counts) if count >= self.least)
        return next(enough, self.last)

    def reached(self, count: int) -> int:
        """The index of the last analysis that this many replicates suffice for; the first one's for fewer."""
        return max((index for index, planned in enumerate(self.counts) if planned <= count), default=0)

    def allowance(self, analysis: int, alpha: float) -> float:
        """The level at which analysis number `analysis` (from 0) may reject, of `alpha` over the whole plan."""
        if analysis < self.first:
            return 0.0
        earlier = self.counts[analysis - 1] / self.counts[-1] if analysis > self.first else 0.0
        fraction = self.counts[analysis] / self.counts[-1]
        return alpha * fraction**_EXPONENT - alpha * earlier**_EXPONENT

    def sequential_p(self, analysis: int, p: ArrayLike) -> NDArray[np.float64]:
        """The p-value that has paid for the analyses: the smallest overall level whose allowance there reaches `p`.

        The smallest over the analyses taken is a valid p-value at any stopping time, so Holm's rule holds with it.
        """
        if analysis < self.first:
            return np.ones_like(np.asarray(p, float))
        return np.minimum(np.maximum(np.asarray(p, float), 1e-300) / self.allowance(analysis, 1.0), 1.0)


SINGLE_ANALYSIS = AnalysisPlan((1,))
