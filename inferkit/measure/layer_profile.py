"""The layer table of an open session, whatever its backend: taken after the measurement, never within it."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

from inferkit.errors import InferkitError
from inferkit.measure.layer_table import LayerRow, LayerTable

if TYPE_CHECKING:
    from inferkit.backends.base import Engine, Feeds, Session

# Seconds that profiled batches may take together; a slow network gets the fewest.
_BUDGET = 0.2
_FEWEST, _MOST = 3, 20


def layer_table(
    engine: Engine,
    session: Session,
    feeds: Feeds,
    details: Mapping[str, Any],
    *,
    batch_seconds: float,
    settings: Mapping[str, Any] | None = None,
    runs: int | None = None,
) -> LayerTable:
    """Median times of every layer over `runs` batches (None: as many as 0.2 s hold, 3 to 20). `details` are the
    session's, `settings` what it was opened with.

    TensorRT has timed its layers for `details` already; ONNX Runtime opens the model once more, with its profiler on;
    Caffe is run layer by layer. Empty where a backend has no such thing, or it fails: a profile is no reason to lose a
    measurement.
    """
    from inferkit.backends.caffe.session import CaffeSession
    from inferkit.backends.onnxruntime.backend import OnnxEngine

    if runs is None:
        runs = max(_FEWEST, min(_MOST, int(_BUDGET / batch_seconds) if batch_seconds > 0 else _MOST))
    try:
        if isinstance(engine, OnnxEngine):
            from inferkit.measure.onnx_layers import onnx_layers

            return onnx_layers(engine.profile(feeds, runs=runs, **(settings or {})), engine.network)
        if isinstance(session, CaffeSession):
            return _caffe_layers([session.profile(feeds) for _ in range(runs)])
    except InferkitError:
        return ()
    from inferkit.measure.engine_layers import engine_layers

    return engine_layers(details)


def _caffe_layers(passes: list[list[tuple[str, str, float]]]) -> LayerTable:
    return tuple(
        LayerRow(name, kind, "fp32", kind, "", median(each[position][2] for each in passes), (name,))
        for position, (name, kind, _) in enumerate(passes[0])
    )
