"""Half-precision constants: converts float32 arrays to FP16 or BF16 and measures what is lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

_CHUNK = 1 << 18  # constants are looked at in parts that fit the cache


@dataclass(frozen=True)
class Half:
    """A half-precision type: `largest` finite and `smallest` normal magnitude; `opset` whose operators know it.

    `lacking`: operators whose ONNX definition takes the type, but for which TensorRT-RTX 1.7 has no kernel of it.
    """

    name: str
    element: int
    type_string: str
    largest: float
    smallest: float
    opset: int
    lacking: frozenset[str] = frozenset()

    def round(self, values: NDArray[np.float32]) -> NDArray:
        """The values in this type, to nearest even; beyond `largest` infinity."""
        with np.errstate(over="ignore"):
            return values.astype(self.dtype)

    @property
    def step(self) -> float:
        """The distance from 1 to the next larger number."""
        return 2.0**-10 if self.element == TensorProto.FLOAT16 else 2.0**-7

    @property
    def dtype(self) -> np.dtype:
        if self.element == TensorProto.FLOAT16:
            return np.dtype(np.float16)
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)

    def tensor(self, values: NDArray) -> TensorProto:
        """A constant of this type."""
        rounded = self.round(values)
        return helper.make_tensor("", self.element, rounded.shape, rounded.tobytes(), raw=True)


# Since numpy-style broadcasting; all sets from there on take float16.
FP16 = Half("fp16", TensorProto.FLOAT16, "tensor(float16)", 65504.0, 2.0**-14, 7)
# Conv, pooling and most activations take bfloat16 from operator set 22 on.
BF16 = Half(
    "bf16",
    TensorProto.BFLOAT16,
    "tensor(bfloat16)",
    3.3895314e38,
    2.0**-126,
    22,
    frozenset({"ConvTranspose", "GRU", "HardSwish", "Mish"}),
)
HALVES = {"fp16": FP16, "bf16": BF16}


@dataclass(frozen=True)
class Loss:
    """What one constant of a layer would lose in half precision: `kind` is overflow or underflow."""

    layer: str
    tensor: str
    kind: str
    count: int
    total: int
    magnitude: float

    def __str__(self) -> str:
        extreme = "largest" if self.kind == "overflow" else "smallest"
        return (
            f"layer {self.layer!r}: {self.count} of {self.total} values of {self.tensor!r} {self.kind} "
            f"({extreme} {self.magnitude:.3g})"
        )


def loss(layer: str, tensor: str, values: NDArray[np.float32], half: Half, *, tolerated: float | None) -> Loss | None:
    """What `values` would lose as constants of `layer`; None where they survive.

    Overflow: any finite value becomes infinite. Underflow: the values as a whole lose more than `tolerated` (relative,
    root mean square); where that is None, any of them becomes zero. Plain rounding costs at most 2^-12 (BF16: 2^-9),
    less than is tolerated, so that only values below the type's normal range (FP16: 6.1e-5) are looked at.
    """
    over, small, extreme, least, vanished = 0, 0, 0.0, np.inf, 0
    error, norm = 0.0, 0.0
    flat = np.asarray(values, dtype=np.float32).reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        magnitudes = np.abs(part)
        with np.errstate(invalid="ignore"):
            large = magnitudes[(magnitudes > half.largest) & np.isfinite(part)]
            tiny = part[(magnitudes < half.smallest) & (magnitudes > 0)]
        if large.size:  # just above the largest, a value is rounded to it
            lost = large[np.isinf(half.round(large).astype(np.float32))]
            over += lost.size
            extreme = max(extreme, float(lost.max(initial=0.0)))
        if tiny.size:
            rounded = half.round(tiny).astype(np.float32)
            small += tiny.size
            least = min(least, float(np.abs(tiny).min()))
            vanished += int(np.count_nonzero(rounded == 0))
            error += float(np.dot(rounded - tiny, rounded - tiny))
        if tolerated is not None and not over:
            norm += float(np.dot(part, part)) if np.isfinite(part).all() else np.inf
    if over:
        return Loss(layer, tensor, "overflow", over, flat.size, extreme)
    # float32 squares of weights below 1e-19 vanish themselves: they are lost, and so is what is left of the norm
    underflows = vanished > 0 if tolerated is None else error > tolerated**2 * norm or norm == 0
    return Loss(layer, tensor, "underflow", small, flat.size, least) if small and underflows else None
