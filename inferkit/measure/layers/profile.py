"""The layer table of a network or of an engine file, profiled here and now: for the commands that show one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

from inferkit.backends import backend as backend_named
from inferkit.backends import build
from inferkit.errors import BackendError, InferkitError
from inferkit.measure.images import stand_in
from inferkit.measure.layers.table import LayerRow, LayerTable
from inferkit.measure.machine.lease import device_lease

if TYPE_CHECKING:
    from inferkit.backends.base import Engine, Feeds, Session
    from inferkit.network.network import Network


def profile_network(
    network: Network, backend: str = "onnxruntime", *, batch: int = 1, runs: int | None = None, **options: Any
) -> LayerTable:
    """Build `network` and time its layers on embedded images brought to its input. `options` are the build's.

    Times are medians over `runs` batches (TensorRT: over ten). Raises the backend's errors, and BackendError
    where it does not time layers.
    """
    with device_lease(backend_named(backend).device()):  # some builders time tactics on it
        return _profiled(build(network, backend=backend, max_batch=batch, **options), backend, batch, runs)


def profile_engine(path: str | os.PathLike[str], *, batch: int) -> LayerTable:
    """The layers of a TensorRT engine file, as its inspector tells and IProfiler times them on this machine's GPU.

    BackendUnavailable where there is none that runs it, EngineError for a damaged or foreign engine.
    """
    from inferkit.backends.tensorrt import load_engine

    return _profiled(load_engine(path), "tensorrt", batch, None)


def _profiled(engine: Engine, backend: str, batch: int, runs: int | None) -> LayerTable:
    settings: Mapping[str, Any] = {}
    with device_lease(backend_named(backend).device()), engine.session() as session:
        feeds = {info.name: stand_in(info, batch) for info in session.inputs}
        session.load(feeds)
        wall = session.execute().wall
        table = layer_table(engine, session, feeds, session.details(), batch_seconds=wall, settings=settings, runs=runs)
    if not table:
        raise BackendError(f"the {backend} backend timed no layers of this network")
    return table


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
            from inferkit.measure.layers.onnxruntime import onnx_layers

            return onnx_layers(engine.profile(feeds, runs=runs, **(settings or {})), engine.network)
        if isinstance(session, CaffeSession):
            return _caffe_layers([session.profile(feeds) for _ in range(runs)])
    except InferkitError:
        return ()
    from inferkit.measure.layers.tensorrt import engine_layers

    return engine_layers(details)


def _caffe_layers(passes: list[list[tuple[str, str, float]]]) -> LayerTable:
    return tuple(
        LayerRow(name, kind, "fp32", kind, "", median(each[position][2] for each in passes), (name,))
        for position, (name, kind, _) in enumerate(passes[0])
    )
