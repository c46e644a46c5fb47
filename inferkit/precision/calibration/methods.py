"""Calibration methods: amax (the magnitude of the largest code) from a histogram of magnitudes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from inferkit.errors import PrecisionError, UsageError
from inferkit.precision.calibration.entropy import entropy_amax
from inferkit.precision.calibration.ranges import Histogram, Ranges
from inferkit.progress import tell

LEVELS = 127  # positive codes of a symmetric INT8 range

PERCENTILE = 99.99


@dataclass(frozen=True)
class Method:
    """A method by name; `percentile` is the share in percent that the percentile method keeps."""

    name: str
    percentile: float = PERCENTILE

    def __str__(self) -> str:
        return f"percentile:{self.percentile:g}" if self.name == "percentile" else self.name

    def amax(self, histogram: Histogram) -> float:
        """amax of one tensor; 0.0 if every value was zero."""
        if histogram.maximum == 0.0:
            return 0.0
        if self.name == "percentile":
            return percentile_amax(histogram, self.percentile)
        return _SIMPLE[self.name](histogram)


def method(text: str | Method) -> Method:
    """The method that a text names: max, entropy, mse, percentile or percentile:99.9. UsageError for another."""
    if isinstance(text, Method):
        return text
    name, _, share = text.strip().lower().partition(":")
    if name == "percentile" and share:
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not 50.0 <= value <= 100.0:
            raise UsageError(f"calibration method {text!r}: the percentile must be between 50 and 100")
        return Method(name, value)
    if share or name not in METHODS:
        raise UsageError(f"unknown calibration method {text!r}; there are {', '.join(METHODS)} and percentile:SHARE")
    return Method(name)


def maximum_amax(histogram: Histogram) -> float:
    """The largest magnitude seen: nothing is clipped."""
    return histogram.maximum


def percentile_amax(histogram: Histogram, percentile: float = PERCENTILE) -> float:
    """The upper edge of the bin in which `percentile` percent of all values (zeros included) is reached."""
    cumulated = np.cumsum(histogram.counts)
    wanted = percentile / 100.0 * float(cumulated[-1])
    index = int(np.searchsorted(cumulated, wanted, side="left"))
    return min((index + 1) * histogram.width, histogram.maximum)


def mse_amax(histogram: Histogram, levels: int = LEVELS) -> float:
    """The amax with the least squared error of rounding to `levels` steps and clipping, each bin at its centre.

    Values in the first bin are taken for zero, which every scale represents exactly.
    """
    counts = histogram.counts.astype(np.float64)
    centres = (np.arange(counts.size) + 0.5) * histogram.width
    centres[0] = 0.0
    filled = np.flatnonzero(counts)
    counts, centres = counts[filled], centres[filled]
    candidates = np.append((np.arange(LEVELS, histogram.used) + 0.5) * histogram.width, histogram.maximum)
    best, best_error = histogram.maximum, np.inf
    for part in np.array_split(candidates, max(1, candidates.size // 128)):
        scale = (part / levels)[:, None]
        rounded = np.minimum(np.rint(centres / scale), levels) * scale
        errors = ((rounded - centres) ** 2) @ counts
        lowest = int(np.argmin(errors))
        if errors[lowest] < best_error:
            best, best_error = float(part[lowest]), float(errors[lowest])
    return min(best, histogram.maximum)


_SIMPLE: dict[str, Callable[[Histogram], float]] = {
    "max": maximum_amax,
    "entropy": entropy_amax,
    "mse": mse_amax,
}

METHODS = ("max", "entropy", "percentile", "mse")


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
                raise PrecisionError(
                    f"calibration of tensor {name!r}: amax is {value}; it must be finite and at least 0"
                )

    @property
    def description(self) -> str:
        """One line for reports."""
        return f"{self.method}: {self.source}" if self.source else self.method


def calibration_from(ranges: Ranges, by: str | Method = DEFAULT_METHOD) -> Calibration:
    """Apply a method (see methods.METHODS) to every histogram. UsageError for an unknown method."""
    chosen = method(by)
    amax: dict[str, float] = {}
    for name, histogram in ranges.histograms.items():
        amax[name] = chosen.amax(histogram)
        tell("dynamic ranges", len(amax), len(ranges.histograms))
    source = f"{ranges.images} images" + (f" of {ranges.source}" if ranges.source else "")
    return Calibration(amax, str(chosen), source)
