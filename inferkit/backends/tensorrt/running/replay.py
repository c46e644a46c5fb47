"""Does a replayed graph compute what plain enqueue computes? Asked before anything is measured.

A capture holds addresses of memory, not what is in it, and kernels may race: a wrong replay is as quick as a right one.
(TensorRT-RTX 1.4 computes ResNet-50 in TF32 at batch 1 differently each time on compute capability 9.0, also by plain
enqueue.)
"""

from __future__ import annotations

from collections.abc import Callable

from inferkit.backends.agreement import TOLERANCE, Outputs, differences
from inferkit.errors import BackendError

RUNS = 3


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
            for name, difference in differences(run(), wanted).items():
                if not difference <= TOLERANCE:
                    raise WrongResults(
                        f"{what}: {way} does not repeat what plain enqueue computed: output {name!r} differs by "
                        f"{difference:.2g} of its norm; it is wrong, and its times would say nothing"
                    )
                largest = max(largest, difference)
    return largest
