"""Entropy calibration: the clipping threshold that keeps most of a distribution's information in 128 levels.

The method of the Caffe era (S. Migacz, "8-bit Inference with TensorRT", GTC 2017, talk S7310). For each threshold of i
bins, 128 <= i <= n:

    P = the first i bins, everything beyond added to the last of them
    Q = the first i bins in 128 equal levels, each level's count spread evenly over those of its bins that P fills
    KL(P || Q) = sum P/N log((P/N) / (Q/S)),   N = sum of P, S = sum of Q

and the threshold is that of the lowest divergence, at (i + 1/2) bin widths. The first bin (zeros, and the noise around
them after a ReLU) is left out of the histogram first, as NVIDIA's description of its calibrator has it
(mlcommons/inference_results_v4.1, closed/NVIDIA/documentation/calibration.md). Other spikes are cut down as well: where
images have a background, each channel gives it one and the same value. Spreading such a value over a level costs next
to nothing in accuracy but much divergence, and the method would clip a range to a tenth to keep one spike sharp.
Where there are fewer values than bins, divergences are accidents of single values: neighbouring bins are merged until
they hold enough on average, and a histogram that ends below 128 bins keeps its whole range.

Written with prefix sums of h, of h log h and of the filled bins, all candidates are one array expression:

    N KL = sum_{j<i} P log P - sum_levels c log(c/z) - outliers * log(c/z of the last level) + N log(S/N)

where c is a level's count and z the number of its filled bins.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inferkit.precision.calibration.ranges import Histogram

LEVELS = 128

# So many values a bin holds on average, or it is merged with its neighbour.
_ENOUGH = 8
# A spike has more than so many times the median count of the bins on either side of it, so many bins looked at.
_SPIKE = 8.0
_AROUND = 16


def entropy_amax(histogram: Histogram) -> float:
    """amax by entropy; the maximum where the histogram is too small to choose from. Ties keep the wider range."""
    counts = histogram.counts[: histogram.used].astype(np.float64)
    counts[0] = 0.0
    width = histogram.width
    while counts.size > LEVELS and counts.sum() < _ENOUGH * counts.size:
        counts, width = np.pad(counts, (0, counts.size % 2)).reshape(-1, 2).sum(axis=1), 2 * width
    if counts.size <= LEVELS:
        return histogram.maximum
    divergence = divergences(without_spikes(counts))
    best = LEVELS + divergence.size - 1 - int(np.argmin(divergence[::-1]))
    return min((best + 0.5) * width, histogram.maximum)


def without_spikes(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The counts with each bin that stands out on both sides cut to the larger median of its neighbours.

    A slope, however steep, stands out on one side only, and a sparse histogram's medians are 0: both stay as they are.
    """
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(counts, _AROUND, mode="edge"), _AROUND)
    left, right = (np.median(windows[start : start + counts.size], axis=1) for start in (0, _AROUND + 1))
    neighbours = np.maximum(left, right)
    return np.where((counts > _SPIKE * neighbours) & (np.minimum(left, right) > 0), neighbours, counts)


def divergences(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """KL divergence for every threshold of LEVELS … len(counts) bins; infinite where Q lacks a value that P has.

    `counts` is float64 [n], n >= LEVELS, not all zero.
    """
    sizes = np.arange(LEVELS, counts.size + 1)
    filled = counts > 0
    sums = _prefix(counts)
    fills = _prefix(filled)
    logs = _prefix(_xlogx(counts))
    total = sums[-1]
    kept = sums[sizes]
    outliers = total - kept
    last = counts[sizes - 1]

    bounds = _bounds(counts.size)
    level = np.diff(sums[bounds], axis=1)
    spread = np.diff(fills[bounds], axis=1)
    spread[:, -1] += (last == 0) & (outliers > 0)  # the outliers fill the last bin of P
    with np.errstate(divide="ignore", invalid="ignore"):
        log_q = np.log(level / spread)
        log_q[level == 0] = 0.0
        from_levels = np.einsum("ij,ij->i", level, log_q)
        from_outliers = np.where(outliers > 0, outliers * log_q[:, -1], 0.0)
        from_p = logs[sizes - 1] + _xlogx(last + outliers)
        result = (from_p - from_levels - from_outliers) / total + np.log(kept / total)
    result[(outliers > 0) & (level[:, -1] == 0)] = np.inf
    return np.where(np.isnan(result), np.inf, result)


@lru_cache(maxsize=4)
def _bounds(size: int) -> NDArray[np.int32]:
    """Where the levels of i bins begin, for every i from LEVELS to `size`: [size - LEVELS + 1, LEVELS + 1].

    Level s holds the bins k with floor(k * LEVELS / i) == s, and so begins at ceil(s * i / LEVELS).
    """
    sizes = np.arange(LEVELS, size + 1)
    return (-(-np.arange(LEVELS + 1)[None, :] * sizes[:, None] // LEVELS)).astype(np.int32)


def _prefix(values: NDArray) -> NDArray[np.float64]:
    return np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))


def _xlogx(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values * np.log(np.where(values > 0, values, 1.0))
