"""Do two runs of one engine on one input agree? What they may differ by is the order of their sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Relative difference, as a norm. The same kernels on the same input differ by the order of their sums at most, 1e-3 in
# FP16; the results of kernels that raced differed by 0.1 and more.
TOLERANCE = 2e-2

Outputs = Mapping[str, NDArray[np.generic]]


def differences(got: Outputs, wanted: Outputs) -> dict[str, float]:
    """The relative difference of every output, by name."""
    return {name: relative_difference(got[name], array) for name, array in wanted.items()}


def relative_difference(got: NDArray[np.generic], wanted: NDArray[np.generic]) -> float:
    """‖got − wanted‖ / ‖wanted‖ in float64; infinite where only one of the two is finite at some place."""
    a, b = got.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(np.isfinite(a), finite):
        return float("inf")
    distance = float(np.linalg.norm(a[finite] - b[finite]))
    scale = float(np.linalg.norm(b[finite]))
    return distance / scale if scale else (float("inf") if distance else 0.0)


def count_nonfinite(arrays: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """How many elements of each array are NaN or infinite; arrays without any are left out."""
    found = {}
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating):
            count = int(array.size - np.count_nonzero(np.isfinite(array)))
            if count:
                found[name] = count
    return found
