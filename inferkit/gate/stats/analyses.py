"""Interim analyses without more false alarms: the counts at which a case is tested, and alpha spending.

A case that is not clear yet is measured further, so it is tested several times. A plan says at which counts of
replicates, and a spending function how much of the error each analysis may use. They share the error by the union
bound (the p-value of one is compared with what it adds to the spent alpha), which holds whatever their correlation:
between paired blocks, and between a fixed baseline and growing measurements. The exact boundaries of
independent increments would be 0.05 to 0.1 standard errors lower; that is the price of the plainness.

Sources: K. K. G. Lan and D. L. DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70 (1983);
K. Kim and D. L. DeMets, "Design and analysis of group sequential tests based on the type I error spending rate
function", Biometrika 74 (1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

SPENDING = ("power", "obrien-fleming", "pocock")

_BISECTIONS = 80
# Above this level Lan and DeMets' functions no longer add more at a analysis when the level grows; nobody tests there.
_LARGEST_LEVEL = 0.2


def spent(fraction: float, alpha: ArrayLike, family: str = "power", exponent: float = 1.5) -> NDArray[np.float64]:
    """The error spent by the time that `fraction` (0 to 1) of the planned information is there, of `alpha` in all.

    `power`: alpha × fraction ** exponent (Kim and DeMets). `obrien-fleming` and `pocock`: Lan and DeMets' functions,
    whose boundaries resemble those of the two classic designs. ValueError for another family or fraction.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"an information fraction lies between 0 and 1, not {fraction}")
    level = np.asarray(alpha, float)
    if family == "power":
        return level * fraction**exponent
    if family == "pocock":
        return level * np.log(1 + (np.e - 1) * fraction)
    if family == "obrien-fleming":
        return 2 * norm.sf(norm.isf(level / 2) / np.sqrt(fraction)) if fraction > 0 else np.zeros_like(level)
    raise ValueError(f"unknown spending function {family!r}; there are {', '.join(SPENDING)}")


@dataclass(frozen=True)
class AnalysisPlan:
    """At which counts of replicates (or blocks) a case is tested, and how the error is spent on these analyses.

    `least`: analyses at fewer replicates reject nothing, they only say what is measured again; their share of the
    error goes to the first analysis that may. Two slow processes of three look like a slowdown, and are rarely seen
    again.
    """

    counts: tuple[int, ...]
    family: str = "power"
    exponent: float = 1.5
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

    def allowance(self, analysis: int, alpha: ArrayLike) -> NDArray[np.float64]:
        """The level at which analysis number `analysis` (from 0) may reject, of `alpha` over the whole plan."""
        if analysis < self.first:
            return np.zeros_like(np.asarray(alpha, float))
        before = self.counts[analysis - 1] / self.counts[-1] if analysis > self.first else 0.0
        now = self.counts[analysis] / self.counts[-1]
        return spent(now, alpha, self.family, self.exponent) - spent(before, alpha, self.family, self.exponent)

    def sequential_p(self, analysis: int, p: ArrayLike) -> NDArray[np.float64]:
        """The p-value that has paid for the analyses: the smallest overall level whose allowance there reaches `p`.

        The smallest over the analyses taken is a valid p-value at any stopping time, so Holm's rule holds with it.
        """
        wanted = np.clip(np.asarray(p, float), 1e-300, 1.0)
        if analysis < self.first:
            return np.ones_like(wanted)
        if self.family == "power":
            return np.minimum(wanted / float(self.allowance(analysis, 1.0)), 1.0)
        low, high = np.full(wanted.shape, -690.0), np.full(wanted.shape, np.log(_LARGEST_LEVEL))
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            enough = self.allowance(analysis, np.exp(middle)) >= wanted
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.where(self.allowance(analysis, _LARGEST_LEVEL) >= wanted, np.exp(high), 1.0)


SINGLE_ANALYSIS = AnalysisPlan((1,))
