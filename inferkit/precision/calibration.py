"""A calibration: amax by tensor name, with the method and the origin that it came from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from inferkit.errors import PrecisionError
from inferkit.precision.methods import Method, method
from inferkit.precision.ranges import Ranges

# Chosen by measurement (docs/precision.md): on the trained networks no method loses less beyond chance, and on other
# architectures each of the others loses much now and then.
DEFAULT_METHOD = "mse"


@dataclass(frozen=True)
class Calibration:
    """amax (the largest magnitude a tensor's codes can stand for) by tensor name.

    `source` says in one line where it came from; it becomes the network's `calibration`.
    """

    amax: Mapping[str, float]
    method: str
    source: str = ""

    def __post_init__(self) -> None:
        for name, value in self.amax.items():
            if not (math.isfinite(value) and value >= 0.0):
                raise PrecisionError(f"calibration of tensor {name!r}: amax is {value}, not a finite number from 0 up")

    @property
    def description(self) -> str:
        """One line for reports."""
        return f"{self.method}: {self.source}" if self.source else self.method


def calibration_from(ranges: Ranges, by: str | Method = DEFAULT_METHOD) -> Calibration:
    """Apply a method (see methods.METHODS) to every histogram. UsageError for an unknown method."""
    chosen = method(by)
    amax = {name: chosen.amax(histogram) for name, histogram in ranges.histograms.items()}
    source = f"{ranges.images} images" + (f" of {ranges.source}" if ranges.source else "")
    return Calibration(amax, str(chosen), source)
