"""The layer table of a network or of an engine file, profiled here and now: for the commands that show one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferkit.errors import BackendError
from inferkit.measure.images import stand_in
from inferkit.measure.layer_profile import layer_table
from inferkit.measure.layer_table import LayerTable
from inferkit.measure.lease import device_lease

if TYPE_CHECKING:
    from inferkit.backends.base import Engine
    from inferkit.network.network import Network


def profile_network(
    network: Network, backend: str = "onnxruntime", *, batch: int = 1, runs: int | None = None, **options: Any
) -> LayerTable:
    """Build `network` and time its layers on embedded images brought to its input. `options` are the build's.

    Times are medians over `runs` batches (TensorRT: over ten). Raises the backend's errors, and BackendError
    where it does not time layers.
    """
    import inferkit
    from inferkit.backends import backend as backend_named

    with device_lease(backend_named(backend).device()):  # some builders time tactics on it
        return _profiled(inferkit.build(network, backend=backend, max_batch=batch, **options), backend, batch, runs)


def profile_engine(path: str | os.PathLike[str], *, batch: int) -> LayerTable:
    """The layers of a TensorRT engine file, as its inspector tells and IProfiler times them on this machine's GPU.

    BackendUnavailable where there is none that runs it, EngineError for a damaged or foreign engine.
    """
    from inferkit.backends.tensorrt import load_engine

    return _profiled(load_engine(path), "tensorrt", batch, None)


def _profiled(engine: Engine, backend: str, batch: int, runs: int | None) -> LayerTable:
    from inferkit.backends import backend as backend_named

    settings: Mapping[str, Any] = {}
    with device_lease(backend_named(backend).device()), engine.session() as session:
        feeds = {info.name: stand_in(info, batch) for info in session.inputs}
        session.load(feeds)
        wall = session.execute().wall
        table = layer_table(engine, session, feeds, session.details(), batch_seconds=wall, settings=settings, runs=runs)
    if not table:
        raise BackendError(f"the {backend} backend timed no layers of this network")
    return table
