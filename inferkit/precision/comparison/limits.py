"""How far tensors may differ: signal-to-noise ratios, and what rounding to a type explains. Pure.

The ratio is 10 log10(sum a² / sum (a - b)²) in dB, where a is base and b is head: 20 dB is an error of a tenth.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.precision.halves import Half

# A layer has diverged below so many dB: what rounding to the type costs over the layers of trained networks, and a
# good margin. A pair is judged by its coarser type.
LIMITS = {"fp32": 80.0, "tf32": 50.0, "fp16": 40.0, "bf16": 25.0, "int8": 15.0, "fp8": 12.0}

# A tensor may lose so many dB more to quantization than a scale of its own would cost it. The calibration's images
# have larger values than those of the comparison, and tensors that meet in a concatenation share one scale.
_SHARED_SCALE = 30.0
_CHUNK = 1 << 18  # compared in parts that fit the cache

Array = NDArray[Any]


def signal_to_noise(base: Array, head: Array) -> float:
    """The ratio in dB over the values that are finite in both; inf where these are equal, -inf where base is zero."""
    a, b = np.ravel(base), np.ravel(head)
    signal = noise = 0.0
    for start in range(0, a.size, _CHUNK):
        x = a[start : start + _CHUNK].astype(np.float64)
        with np.errstate(invalid="ignore"):
            apart = x - b[start : start + _CHUNK]
        finite = np.isfinite(apart)
        if not finite.all():
            x, apart = x[finite], apart[finite]
        signal += float(x @ x)
        noise += float(apart @ apart)
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def distance(base: Array, head: Array) -> float:
    """The norm of the difference, over the values that are finite in both."""
    with np.errstate(invalid="ignore"):
        apart = head.astype(np.float64) - base
    return float(np.linalg.norm(apart[np.isfinite(apart)]))


def not_finite(base: Array, head: Array) -> int:
    """How many values are finite in one of the two only."""
    return int(np.count_nonzero(np.isfinite(base) != np.isfinite(head)))


def difference(base: Array, head: Array, limit: float) -> str | None:
    """What differs between a tensor of base and of head, in words; None where they agree to `limit` dB.

    What is no floating-point number has to be equal.
    """
    if base.shape != head.shape:
        return f"has the shape {list(head.shape)}, not {list(base.shape)}"
    if base.dtype.kind != "f":
        wrong = int(np.count_nonzero(base != head))
        return f"differs in {wrong} of {base.size} values" if wrong else None
    infinite = not_finite(base, head)
    if infinite:
        return f"is infinite or NaN in {infinite} of {base.size} values where it should not, or the other way round"
    ratio = signal_to_noise(base, head)
    return None if ratio >= limit else f"agrees to {ratio:.1f} dB (limit {limit:g} dB)"


def half_rounding(values: Array, rounded: Array, half: Half, *, saturates: bool) -> str | None:
    """What rounding to half precision does not explain, in words; None where it explains everything.

    `saturates`: magnitudes beyond the type's largest may have become the largest.
    """
    limit = np.abs(values.astype(np.float32)) if not saturates else np.minimum(np.abs(values), half.largest)
    expected = np.sign(values) * limit
    infinite = not_finite(expected, rounded)
    if infinite:
        largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
        return f"overflows {half.name} in {infinite} of {values.size} values (largest {largest:.3g})"
    with np.errstate(invalid="ignore"):
        wrong = np.abs(expected - rounded) > half.step / 2 * np.maximum(limit, half.smallest) * (1 + 1e-6)
    count = int(np.count_nonzero(wrong))
    return f"is not what rounding to {half.name} gives in {count} of {values.size} values" if count else None


def quantized_rounding(values: Array, dequantized: Array, precision: str, largest_code: float) -> str | None:
    """What quantization does not explain, in words; None where it explains everything."""
    infinite = not_finite(values, dequantized)
    if infinite:
        return f"is not finite in {infinite} of {values.size} values after quantization"
    ratio = signal_to_noise(values, dequantized)
    if ratio >= LIMITS[precision]:
        return None
    own = _own_scale(values, largest_code)
    limit = min(LIMITS[precision], own - _SHARED_SCALE)
    if ratio >= limit:
        return None
    return f"keeps {ratio:.1f} dB after quantization, where a scale of its own would keep {own:.1f} dB"


def _own_scale(values: Array, largest_code: float) -> float:
    """The ratio in dB with the steps that suit these values themselves."""
    finite = values[np.isfinite(values)].astype(np.float64)
    largest = float(np.abs(finite).max(initial=0.0))
    step = largest / largest_code
    return 10 * math.log10(12 * float(np.mean(finite**2)) / step**2) if step else math.inf
