"""The error of each layer between base and head, summed up over images in constant memory. Pure.

Of each layer: the cosine of the angle between both outputs (1: the same direction), the signal-to-noise ratio
10 log10(sum a² / sum (a - b)²) in dB, where a is base and b is head (20 dB: the error is a tenth of the signal), and
the largest difference of one value. All values of all images count alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.precision.comparison.limits import LIMITS

# JSON has no infinity. A base of zeros has no signal at all; nobody tells errors of 1e10 signals apart.
LOWEST = -200.0


@dataclass(frozen=True)
class LayerError:
    """One layer's figures. `snr_db` is inf for equal outputs and -inf where only base is all zeros, `cosine` None where
    either is.

    `not_finite` counts values that are a finite number in base or head only; they are left out of the other figures.
    """

    name: str
    kind: str
    values: int
    cosine: float | None
    snr_db: float
    max_error: float
    largest: float
    not_finite: int = 0

    def diverges(self, limit: float) -> bool:
        """Whether this layer has diverged at a limit in dB."""
        return self.not_finite > 0 or self.snr_db < limit

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `snr_db` is null where all finite values are equal, and LOWEST where it is below that."""
        return {**asdict(self), "snr_db": None if self.snr_db == math.inf else max(self.snr_db, LOWEST)}


class LayerErrors:
    """The sums so far, layer by layer. `kinds` gives the layers to expect, in the network's order."""

    def __init__(self, kinds: Mapping[str, str]) -> None:
        self._kinds = dict(kinds)
        self._sums: dict[str, _Sums] = {name: _Sums() for name in kinds}

    def add(self, base: Mapping[str, NDArray[Any]], head: Mapping[str, NDArray[Any]]) -> None:
        """One batch of base and head; a layer whose sizes differ between them is left out for good."""
        for name in list(self._sums):
            a, b = base.get(name), head.get(name)
            if a is None or b is None or a.size != b.size:
                del self._sums[name]
            else:
                self._sums[name].add(a, b)

    def result(self) -> tuple[LayerError, ...]:
        """The layers that base and head have, in order."""
        return tuple(sums.error(name, self._kinds[name]) for name, sums in self._sums.items() if sums.values)


class _Sums:
    def __init__(self) -> None:
        self.values = 0
        self.not_finite = 0
        self.dot = self.base = self.head = self.noise = 0.0
        self.max_error = self.largest = 0.0

    def add(self, base: NDArray[Any], head: NDArray[Any]) -> None:
        a, b = base.astype(np.float64).ravel(), head.astype(np.float64).ravel()
        finite = np.isfinite(a) & np.isfinite(b)
        self.values += a.size
        if not finite.all():
            self.not_finite += int((np.isfinite(a) != np.isfinite(b)).sum())
            a, b = a[finite], b[finite]
        if a.size:
            difference = a - b
            self.dot += float(a @ b)
            self.base += float(a @ a)
            self.head += float(b @ b)
            self.noise += float(difference @ difference)
            self.max_error = max(self.max_error, float(np.abs(difference).max()))
            self.largest = max(self.largest, float(np.abs(a).max()))

    def error(self, name: str, kind: str) -> LayerError:
        size = math.sqrt(self.base) * math.sqrt(self.head)
        if self.noise == 0:
            ratio = math.inf
        elif self.base > 0:
            ratio = 10 * math.log10(self.base / self.noise)
        else:
            ratio = -math.inf
        return LayerError(
            name,
            kind,
            self.values,
            max(-1.0, min(1.0, self.dot / size)) if size > 0 else None,
            ratio,
            self.max_error,
            self.largest,
            self.not_finite,
        )


def limit_of(precisions: Iterable[str]) -> float:
    """The limit in dB for base and head of these precisions: the coarsest one's."""
    return min(LIMITS[precision] for precision in precisions)


def first_divergence(errors: Sequence[LayerError], limit: float) -> LayerError | None:
    """The first layer, in the network's order, whose ratio lies below `limit` dB; None where none does."""
    return next((error for error in errors if error.diverges(limit)), None)
