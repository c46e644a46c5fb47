"""Figures from samples: log-median, percentiles with the number of samples that each needs, images per second.

A percentile of few samples is a guess. It is given only where MLPerf's early-stopping rule would let the claim stand:
with n samples, t of which are above the estimate, the claim "p of all lie below" holds with 99 % confidence where
BinomCDF(t; n, 1 - p) <= 0.01. One sample above (t = 1) is asked for, so that a single outlier is not the percentile:
p50 needs 11 samples, p90 64, p95 130, p99 662, p99.9 6636.
Source: MLCommons, "MLPerf Inference Rules", appendix on early stopping.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (50.0, 90.0, 95.0, 99.0)
CONFIDENCE = 0.99


@cache
def samples_needed(percentile: float, above: int = 1) -> int:
    """The smallest number of samples that supports `percentile` (0 to 100, exclusive) with `above` samples above it.

    Raises ValueError for a percentile or count outside its range.
    """
    if not 0 < percentile < 100 or above < 0:
        raise ValueError(f"no such percentile claim: p{percentile:g}, {above} above")
    beyond = 1 - percentile / 100
    # The probability falls with n: double until it is small enough, then bisect.
    low, high = above, above + 1
    while _at_most(above, high, beyond) > 1 - CONFIDENCE:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if _at_most(above, middle, beyond) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _at_most(successes: int, trials: int, probability: float) -> float:
    """BinomCDF(successes; trials, probability), by its few terms in logarithms (scipy.stats costs half a second)."""
    if successes >= trials:
        return 1.0
    log_p, log_q = math.log(probability), math.log1p(-probability)
    total = 0.0
    for k in range(successes + 1):
        choose = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        total += math.exp(choose + k * log_p + (trials - k) * log_q)
    return min(total, 1.0)


def percentile(samples: Sequence[float] | NDArray[Any], which: float) -> float | None:
    """The `which`-th percentile (nearest rank: a value that was observed), None where the samples cannot support it."""
    if len(samples) < samples_needed(which):
        return None
    ordered = np.sort(np.asarray(samples, float))
    return float(ordered[math.ceil(which / 100 * len(ordered)) - 1])


def percentiles(samples: Sequence[float] | NDArray[Any]) -> dict[str, float | None]:
    """{"p50": seconds, …, "p99": None where there are fewer than 662 samples}."""
    return {f"p{which:g}": percentile(samples, which) for which in PERCENTILES}


def log_median(samples: Sequence[float] | NDArray[Any]) -> float:
    """The datum of one replicate: the natural logarithm of the median time. ValueError unless all are positive."""
    values = np.asarray(samples, float)
    if not len(values) or not np.all(np.isfinite(values)) or np.any(values <= 0):
        raise ValueError("a log-median needs positive, finite times")
    return float(np.log(median(values.tolist())))  # np.median's value; that would import numpy.ma in every process


def centre(log_medians: Sequence[float]) -> float:
    """The time (seconds) of a case: exp of the mean of its replicates' log-medians, which is what is judged."""
    return math.exp(float(np.mean(np.asarray(log_medians, float))))


def spread(log_medians: Sequence[float]) -> float | None:
    """Half the range of the replicates as a share of their centre (0.02: ±2 %), None for a single one."""
    if len(log_medians) < 2:
        return None
    return math.expm1((max(log_medians) - min(log_medians)) / 2)


def images_per_second(seconds: float, batch_size: int) -> float:
    """Images per second of batches of `batch_size` that take `seconds` each."""
    return batch_size / seconds
