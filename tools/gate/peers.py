"""The rules of other tools, written out from their documentation, so that all are tried on the same recordings.

Each takes the raw latencies of the two sides (one array per process) and says whether it would report a slowdown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Side = Sequence[NDArray[np.float64]]
Rule = Callable[[Side, Side], bool]


def _pooled(side: Side) -> NDArray[np.float64]:
    return np.concatenate(list(side))


def pytest_benchmark_median_5(base: Side, head: Side) -> bool:
    """pytest-benchmark --benchmark-compare-fail=median:5%, on all iterations of a side."""
    return bool(np.median(_pooled(head)) > 1.05 * np.median(_pooled(base)))


def pytest_benchmark_mean_5(base: Side, head: Side) -> bool:
    """pytest-benchmark --benchmark-compare-fail=mean:5%."""
    return bool(np.mean(_pooled(head)) > 1.05 * np.mean(_pooled(base)))


def asv(base: Side, head: Side, factor: float = 1.1) -> bool:
    """asv continuous: Mann-Whitney U at p < 0.002 and the ratio of medians above the factor (1.1 by default)."""
    a, b = _pooled(base), _pooled(head)
    return bool(np.median(b) > factor * np.median(a) and stats.mannwhitneyu(a, b).pvalue < 0.002)


def asv_2_percent(base: Side, head: Side) -> bool:
    """asv continuous -f 1.02."""
    return asv(base, head, 1.02)


def mann_whitney(base: Side, head: Side) -> bool:
    """Mann-Whitney U at 0.05, as benchstat and google/benchmark's compare.py use it, on all iterations."""
    a, b = _pooled(base), _pooled(head)
    return bool(np.median(b) > np.median(a) and stats.mannwhitneyu(a, b).pvalue < 0.05)


def criterion(base: Side, head: Side) -> bool:
    """criterion.rs: Student's t at 0.05 by permutation of iterations, and the change of the mean above its 1 % noise.

    The t distribution of the pooled iterations stands in for criterion's bootstrap of it: with hundreds of iterations
    the two agree.
    """
    a, b = _pooled(base), _pooled(head)
    return bool(np.mean(b) > 1.01 * np.mean(a) and stats.ttest_ind(a, b, equal_var=False).pvalue < 0.05)


RULES: dict[str, Rule] = {
    "pytest-benchmark `median:5%`": pytest_benchmark_median_5,
    "pytest-benchmark `mean:5%`": pytest_benchmark_mean_5,
    "asv continuous (`-f 1.1`)": asv,
    "asv continuous (`-f 1.02`)": asv_2_percent,
    "Mann-Whitney 0.05": mann_whitney,
    "criterion (1 % noise, 0.05)": criterion,
}
