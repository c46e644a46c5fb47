"""How sure a drop in accuracy is: Tango's score bounds for the difference of two paired proportions.

Two precisions classify the same images; only the images on which they differ say anything: n10 that the reference had
right and the candidate has wrong, n01 the other way round. The drop is (n10 - n01) / n.
Source: T. Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
design", Statistics in Medicine 17 (1998) 891-908. The score statistic for a true drop d is

    z(d) = (n10 - n01 - n d) / sqrt(n (2 q(d) + d (1 - d)))

where q(d) is the maximum-likelihood estimate, under that drop, of the probability that only the candidate is right.
A bound is the d at which z(d) reaches the normal quantile. Unlike
Wald's, it behaves with no discordant image at all: 0 of 10,000 still bounds the drop by 0.027 points at 95 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

_BISECTIONS = 200


@dataclass(frozen=True)
class PairedDrop:
    """The drop of a proportion from reference to candidate on the same items, with one-sided bounds: shares."""

    drop: float
    lower: float
    upper: float


def paired_drop(n10: int, n01: int, n: int, confidence: float = 0.95) -> PairedDrop:
    """Drop and bounds from the discordant counts: `n10` only the reference right, `n01` only the candidate.

    ValueError for counts that cannot be or a confidence outside (0.5, 1).
    """
    if n < 1 or n10 < 0 or n01 < 0 or n10 + n01 > n:
        raise ValueError(f"impossible discordant counts: {n10} and {n01} of {n}")
    if not 0.5 < confidence < 1:
        raise ValueError(f"a confidence lies between 0.5 and 1, not {confidence}")
    quantile = NormalDist().inv_cdf(confidence)
    upper = _bound(n10, n01, n, quantile)
    # The lower bound of the drop is the upper bound of the gain, which is the drop with the roles exchanged.
    lower = -_bound(n01, n10, n, quantile)
    return PairedDrop((n10 - n01) / n, lower, upper)


def _bound(n10: int, n01: int, n: int, quantile: float) -> float:
    """The largest drop d whose score still lies within the quantile: z(d) falls in d, so bisect."""
    low, high = (n10 - n01) / n, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if score(n10, n01, n, middle) > -quantile:
            low = middle
        else:
            high = middle
    return high


def score(n10: int, n01: int, n: int, drop: float) -> float:
    """Tango's statistic for the hypothesis that the true drop is `drop` (-1 to 1): standard normal when it is."""
    # The likelihood of (p10, p01) = (q + drop, q) is highest at the larger root of 2n q^2 + b q + c = 0.
    b = (2 * n - n10 + n01) * drop - (n10 + n01)
    c = -n01 * drop * (1 - drop)
    q = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * q + drop * (1 - drop))
    distance = n10 - n01 - n * drop
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)
