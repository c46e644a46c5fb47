"""Compares an engine that was just built with its network computed by ONNX Runtime, and reads what its layers run in.

The network was compared with FP32 when it was brought to its precision; the engine is what is left to compare, on the
machine that runs it. Its outputs may differ by what the precision itself changes on the same inputs, and a margin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.base import Engine, EngineInfo, Session
from inferkit.backends.precision_share import precision_share
from inferkit.errors import BackendError, InferkitError
from inferkit.network.as_written import reason_of
from inferkit.network.network import Network
from inferkit.network.random_inputs import DRAWING
from inferkit.precision.comparison.limits import LIMITS, agreement, difference
from inferkit.precision.emulation import emulated, unrounded
from inferkit.precision.input_range import calibrated_inputs
from inferkit.precision.rewrite.feeds import random_feeds
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.running import run

# No fault is an agreement of so many dB: TensorRT-RTX sums FP16 products in FP16 (VGG16: 32 dB), and computes FP32 in
# TF32. What kernels that raced computed was off by a tenth (20 dB) and more.
_LIMITS = {**LIMITS, "fp32": 40.0, "tf32": 40.0, "fp16": 25.0, "bf16": 20.0}
# An engine rounds elsewhere than the graph says, as it fuses layers: so many dB more than rounding costs are allowed.
_MARGIN = 15.0
# What FP32 and TF32 change is estimated by inputs whose last bits change (those of TF32), though every layer rounds.
_LAST_BITS, _LAYERS = 2.0**-11, 10.0
# Below this agreement the precision itself leaves nothing of an output that could be compared.
_NOTHING = 3.0

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class CheckedEngine:
    """What is known of an engine that was just built, a sentence each, or why it is not known.

    `comparison`: how far it agrees with its network; `share`: how much of its work runs in the precision asked for,
    empty where nothing was run.
    """

    comparison: str
    share: str = ""


def require_agreement(engine: Engine, network: Network, **settings: Any) -> CheckedEngine:
    """How far a built engine agrees with `network`, which it was built from, and what its layers run in.

    `settings` are those of `Engine.session`. Where the engine cannot run here, nothing is compared. BackendError names
    the first output that differs beyond what the precision explains.
    """
    if any(node.op_type in DRAWING for node in network.model.graph.node):
        return CheckedEngine("not compared with ONNX Runtime: the network draws random numbers")
    try:
        reference = _Reference.of(network, engine.info)
    except Exception as error:  # ONNX Runtime's exceptions have no common class below Exception
        return CheckedEngine(f"not compared with ONNX Runtime: {reason_of(error)}")
    if reference is None:
        return CheckedEngine("not compared with ONNX Runtime: none of the sizes tried for its inputs runs")
    try:
        session = engine.session(**settings)
    except InferkitError as error:  # no GPU here, or another one
        return CheckedEngine(f"not compared with ONNX Runtime: the engine does not run here ({error})")
    with session:
        outputs = session.run(dict(reference.feeds))
        share = _share(session, network)
    return CheckedEngine(_judged(engine, network, reference, outputs), share)


def _share(session: Session, network: Network) -> str:
    """What is known of the precisions of a session's layers; no engine is refused for it."""
    try:
        return precision_share(network, session.layers()).sentence
    except InferkitError as error:
        return f"the share computed in {network.precision} is not known: {error}"


@dataclass(frozen=True, eq=False)
class _Reference:
    """What an engine is fed, and what its network makes of the first `rows` of it: at its precision, and in FP32."""

    feeds: Arrays
    rows: int | None
    at_precision: Arrays
    exact: Arrays

    @classmethod
    def of(cls, network: Network, info: EngineInfo) -> _Reference | None:
        """None where the network runs with none of the sizes tried. Raises what ONNX Runtime raises."""
        fed = random_feeds(Graph(network.model))
        if fed is None:
            return None
        axes = {
            each.name: each.batch_axis for each in network.inputs if each.batch is None and each.batch_axis is not None
        }
        # Rows are independent where all have the batch: then few are computed, and repeated for engines that take more.
        is_cut = all(each.batch_axis is not None for each in (*network.inputs, *network.outputs))
        wanted = max(info.min_batch, min(2, info.max_batch)) if axes else None
        rows = wanted if wanted is None or not is_cut else min(2, wanted)
        ranges = calibrated_inputs(network)
        fed = {name: _like(values, ranges.get(name)) for name, values in fed.items()}
        few = {name: _of_rows(values, axes.get(name), rows) for name, values in fed.items()}
        many = {name: _of_rows(values, axes.get(name), wanted) for name, values in few.items()}
        at_precision = run(Graph(emulated(network).model), few)
        if network.precision in ("fp32", "tf32"):
            exact = run(Graph(network.model), {name: _last_bits(values) for name, values in few.items()})
        else:
            exact = run(Graph(unrounded(network).model), few)
        return cls(many, rows, at_precision, exact)


def _judged(engine: Engine, network: Network, reference: _Reference, outputs: Arrays) -> str:
    margin = _MARGIN + (_LAYERS if network.precision in ("fp32", "tf32") else 0.0)
    agreements: list[tuple[float, float]] = []
    left: list[str] = []
    for info in network.outputs:
        actual = np.asarray(outputs[info.name])
        if reference.rows is not None and info.batch_axis is not None and actual.ndim > info.batch_axis:
            actual = actual.take(np.arange(min(reference.rows, actual.shape[info.batch_axis])), info.batch_axis)
        expected, exact = (np.asarray(each[info.name]) for each in (reference.at_precision, reference.exact))
        limit = _limit(expected, exact, _LIMITS[network.precision], margin)
        if limit is None:
            left.append(info.name)
            continue
        reason = difference(_wide(expected), _wide(actual), limit)
        if reason:
            raise BackendError(_fault(engine, network, info.name, reason))
        agreements.append((agreement(_wide(expected), _wide(actual)).ratio, limit))
    if not agreements:
        return f"not compared with ONNX Runtime: {', '.join(left)} may change with the last bit of a value"
    ratio, limit = min(agreements, key=lambda each: each[0] - each[1])
    shown = "exactly" if math.isinf(ratio) else f"to {ratio:.0f} dB (limit {limit:.0f} dB)"
    return f"agrees with ONNX Runtime {shown}" + (f"; not compared: {', '.join(left)}" if left else "")


def _limit(expected: NDArray[Any], exact: NDArray[Any], least: float, margin: float) -> float | None:
    """To how many dB an output has to agree with `expected`, which would be `exact` at FP32.

    None where it is a choice, or a number of results, that hangs on the last bit of a value, and where the precision
    itself changes all of it.
    """
    if not _is_float(expected) or expected.shape != exact.shape:
        return None
    explained = agreement(_wide(exact), _wide(expected))
    limit = min(least, explained.ratio - margin)
    return None if explained.not_finite or limit < _NOTHING else limit


def _fault(engine: Engine, network: Network, output: str, reason: str) -> str:
    info = engine.info
    by = " ".join(filter(None, (info.flavour or info.backend, info.version)))
    return (
        f"network {network.name!r} at {network.precision}: the engine that {by} built computes something else than the "
        f"network does in ONNX Runtime: output {output!r} {reason}; use another precision or another version, or build "
        "again without what earlier builds timed (`timings=False`)"
    )


def _like(values: NDArray[Any], largest: float | None) -> NDArray[Any]:
    """Random values as an input has them: pixels, and what reaches as far as was calibrated."""
    if values.dtype == np.uint8:
        return np.random.default_rng(values.size).integers(0, 256, values.shape, np.uint8)
    return values if largest is None or not _is_float(values) else (values * (largest / 3)).astype(values.dtype)


def _of_rows(values: NDArray[Any], axis: int | None, rows: int | None) -> NDArray[Any]:
    """As many rows along the batch, repeated where there are fewer."""
    return values if axis is None or rows is None else values.take(np.arange(rows) % values.shape[axis], axis)


def _last_bits(values: NDArray[Any]) -> NDArray[Any]:
    if not _is_float(values):
        return values
    signs = np.random.default_rng(values.size).integers(0, 2, values.shape) * 2 - 1
    return np.asarray(values * (1 + signs * _LAST_BITS), dtype=values.dtype)


def _is_float(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "f" or values.dtype.name == "bfloat16"


def _wide(values: NDArray[Any]) -> NDArray[Any]:
    return values if values.dtype == np.float64 else values.astype(np.float32)
