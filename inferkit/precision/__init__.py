"""Precision as a property of the graph: every backend runs the same rewritten ONNX graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.errors import UsageError
from inferkit.network.network import PRECISIONS

if TYPE_CHECKING:
    from inferkit.network.network import Network
    from inferkit.precision.calibration.ranges import Ranges

# The study's names, and what people write; every key in lower case.
_ALIASES = {"float": "fp32", "float32": "fp32", "half": "fp16", "float16": "fp16", "bfloat16": "bf16", "fp8e4m3": "fp8"}

__all__ = ["PRECISIONS", "at_precision", "collect_ranges", "normalize"]


def normalize(precision: str) -> str:
    """The precision of a name (`FLOAT` is fp32, `HALF` fp16, `INT8` int8). UsageError for an unknown name."""
    name = precision.strip().lower()
    name = _ALIASES.get(name, name)
    if name not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}; there are {', '.join(PRECISIONS)}, and FLOAT, HALF, INT8")
    return name


def at_precision(network: Network, precision: str, calibration: Any = None, **options: Any) -> Network:
    """A new network that computes at `precision`; `network` is not changed.

    A network whose file is of that precision already (half weights, Q/DQ pairs) is returned as it is.
    fp32 and tf32 have the same graph: TF32 is what a backend does with it. fp16 and bf16 are rewritten to half
    precision (options: inferkit.precision.casts.CastOptions). int8 and fp8 get Q/DQ pairs and need `calibration`:
    a dataset, an iterable of batches (arrays float32 [N, C, H, W], or dicts of arrays by input name), a Ranges or
    Calibration, or the path of a TensorRT calibration cache, of a file of ranges, or of a folder of batch files
    (options: inferkit.precision.apply.QuantizeOptions).

    Raises UsageError for an unknown precision or option, PrecisionError where the network or the calibration does not
    allow it: the message names the layer or tensor.
    """
    from inferkit.precision.apply import apply

    return apply(network, normalize(precision), calibration, options)


def collect_ranges(network: Network, source: Any, **options: Any) -> Ranges:
    """Ranges of the tensors that int8 or fp8 may quantize, from a dataset, an iterable of batches or batch files.

    They merge exactly, in any order, and are a `calibration` for at_precision with any method; see
    inferkit.precision.apply.collect_ranges for options and errors.
    """
    from inferkit.precision.apply import collect_ranges as collect

    return collect(network, source, **options)
