"""How far tensors may differ: signal-to-noise ratios, and what rounding to a type explains. Pure.

The ratio is 10 log10(sum a² / sum (a - b)²) in dB, where a is base and b is head: 20 dB is an error of a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.precision.halves import Half

# A layer has diverged below so many dB: what rounding to the type costs over the layers of trained networks, and a
# good margin. A pair is judged by its coarser type.
LIMITS = {"fp32": 80.0, "tf32": 50.0, "fp16": 40.0, "bf16": 25.0, "int8": 15.0, "fp8": 12.0}

# A tensor may lose so many dB more to quantization than a scale of its own would cost it: the calibration's images have
# larger values than those of the comparison, and a scale that is shared is up to twice as wide (6 dB).
_WIDER_SCALE = 20.0
# What methods that clip (entropy, percentile) may give away below the limit in one tensor, in dB, calibrated with few
# images; fp8 has steps that grow with the values, and clips nothing by default.
_CLIPPING = {"int8": 5.0, "fp8": 0.0}
_CHUNK = 1 << 16  # compared in parts that fit the cache

Array = NDArray[Any]


@dataclass(frozen=True)
class Agreement:
    """How far two tensors agree: the ratio in dB over the values that are finite in both, and how many are so in one
    only. The ratio is inf where these values are equal, and -inf where base's are all zero."""

    ratio: float
    not_finite: int


def agreement(base: Array, head: Array) -> Agreement:
    """Of two arrays of one shape."""
    signal = noise = 0.0
    odd = 0
    for a, b in _chunks(base, head):
        with np.errstate(invalid="ignore", over="ignore"):
            apart = a - b
            powers = float(a @ a), float(apart @ apart)
        if not (math.isfinite(sum(powers)) and powers[0]):  # beyond float32, or values that are not finite
            x = a.astype(np.float64)
            with np.errstate(invalid="ignore"):
                apart = x - b
            finite = np.isfinite(apart)
            odd += int(np.count_nonzero(np.isfinite(a) != np.isfinite(b)))
            x, apart = x[finite], apart[finite]
            powers = float(x @ x), float(apart @ apart)
        signal += powers[0]
        noise += powers[1]
    if noise == 0:
        return Agreement(math.inf, odd)
    return Agreement(10 * math.log10(signal / noise) if signal else -math.inf, odd)


def _chunks(base: Array, head: Array) -> Iterator[tuple[Array, Array]]:
    a, b = np.ravel(base), np.ravel(head)
    for start in range(0, a.size, _CHUNK):
        yield a[start : start + _CHUNK], b[start : start + _CHUNK]


def distance(base: Array, head: Array) -> float:
    """The norm of the difference, over the values that are finite in both."""
    with np.errstate(invalid="ignore"):
        apart = head.astype(np.float64) - base
    return float(np.linalg.norm(apart[np.isfinite(apart)]))


def difference(base: Array, head: Array, limit: float) -> str | None:
    """What differs between a tensor of base and of head, in words; None where they agree to `limit` dB.

    What is no floating-point number has to be equal.
    """
    if base.shape != head.shape:
        return f"has the shape {list(head.shape)}, not {list(base.shape)}"
    if base.dtype.kind != "f":
        wrong = int(np.count_nonzero(base != head))
        return f"differs in {wrong} of {base.size} values" if wrong else None
    found = agreement(base, head)
    if found.not_finite:
        return f"has {found.not_finite} of {base.size} values that are finite in one of the two networks only"
    return None if found.ratio >= limit else f"agrees to {found.ratio:.1f} dB (limit {limit:g} dB)"


def half_rounding(values: Array, rounded: Array, half: Half, *, saturates: bool) -> str | None:
    """What rounding to half precision does not explain, in words; None where it explains everything.

    `saturates`: magnitudes beyond the type's largest may have become the largest.
    """
    infinite = wrong = 0
    largest = 0.0
    for a, b in _chunks(values, rounded):
        exact = np.clip(a, -half.largest, half.largest) if saturates else a
        bound = np.maximum(np.abs(exact), half.smallest)
        with np.errstate(invalid="ignore"):
            wrong += int(np.count_nonzero(np.abs(exact - b) > half.step / 2 * (1 + 1e-6) * bound))
        lost = np.isfinite(exact) & ~np.isfinite(b)
        if lost.any():
            infinite += int(np.count_nonzero(lost))
            largest = max(largest, float(np.abs(exact[lost]).max()))
    if infinite:
        return f"overflows {half.name} in {infinite} of {values.size} values (largest {largest:.3g})"
    return f"is not what rounding to {half.name} gives in {wrong} of {values.size} values" if wrong else None


def quantized_rounding(values: Array, dequantized: Array, precision: str, largest_code: float) -> str | None:
    """What quantization does not explain, in words; None where it explains everything."""
    found = agreement(values, dequantized)
    if found.not_finite:
        return f"has {found.not_finite} of {values.size} values that are finite in one of the two networks only"
    if found.ratio >= LIMITS[precision] - _CLIPPING[precision]:
        return None
    own = _own_scale(values, largest_code)
    if found.ratio >= own - _WIDER_SCALE:
        return None
    return f"keeps {found.ratio:.1f} dB after quantization, where a scale of its own would keep {own:.1f} dB"


def _own_scale(values: Array, largest_code: float) -> float:
    """The ratio in dB with the steps that suit these values themselves."""
    finite = values[np.isfinite(values)].astype(np.float64)
    step = float(np.abs(finite).max(initial=0.0)) / largest_code
    return 10 * math.log10(12 * float(np.mean(finite**2)) / step**2) if step else math.inf
