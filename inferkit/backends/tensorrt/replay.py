"""Does a replayed graph compute what plain enqueue computes? Asked before anything is measured.

A capture holds addresses of memory, not what is in it, and kernels may race: a wrong replay is as quick as a right one.
(TensorRT-RTX 1.4 computes ResNet-50 in TF32 at batch 1 differently each time on compute capability 9.0, also by plain
enqueue.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import BackendError

# Relative difference, as a norm. The same kernels on the same input differ by the order of their sums at most, 1e-3 in
# FP16; results of overwritten scratch memory differed by 0.2 and more.
TOLERANCE = 2e-2
RUNS = 3

Outputs = Mapping[str, NDArray[np.generic]]


class WrongResults(BackendError):
    """An engine that does not compute the same twice: no way of running it is worth measuring."""


def check_replay(enqueue: Callable[[], Outputs], replay: Callable[[], Outputs] | None, what: str) -> float:
    """Compare `RUNS` runs of either with the first enqueue; returns the largest relative difference seen.

    Each call runs the staged batch once and returns its outputs. WrongResults names the output where a replay is not
    what enqueue computes, or enqueue does not repeat itself.
    """
    wanted = enqueue()
    largest = 0.0
    ways = [("plain enqueue", enqueue)]
    if replay is not None:
        ways.append(("the replay of its CUDA graph", replay))
    for way, run in ways:
        for _ in range(RUNS):
            for name, got in run().items():
                difference = relative_difference(got, wanted[name])
                if not difference <= TOLERANCE:
                    raise WrongResults(
                        f"{what}: {way} does not repeat what plain enqueue computed: output {name!r} differs by "
                        f"{difference:.2g} of its norm; it is wrong, and its times would say nothing"
                    )
                largest = max(largest, difference)
    return largest


def relative_difference(got: NDArray[np.generic], wanted: NDArray[np.generic]) -> float:
    """‖got − wanted‖ / ‖wanted‖ in float64; infinite where only one of the two is finite at some place."""
    a, b = got.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(np.isfinite(a), finite):
        return float("inf")
    distance = float(np.linalg.norm(a[finite] - b[finite]))
    scale = float(np.linalg.norm(b[finite]))
    return distance / scale if scale else (float("inf") if distance else 0.0)
