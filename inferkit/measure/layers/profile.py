"""The layer table of a network, of an engine file or of an open session, profiled here and now."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from inferkit import backends
from inferkit.backends.layer_table import LayerTable
from inferkit.errors import BackendError, InferkitError
from inferkit.measure.images import stand_ins
from inferkit.measure.machine.lease import device_lease

if TYPE_CHECKING:
    from inferkit.backends.base import Backend, Engine, Session
    from inferkit.network.network import Network


def profile_network(
    network: Network,
    backend: str = backends.DEFAULT_BACKEND,
    *,
    batch: int = 1,
    runs: int | None = None,
    **options: Any,
) -> LayerTable:
    """Build `network` and time its layers on embedded images brought to its input. `options` are the build's.

    Times are medians over `runs` batches. Raises the backend's errors, and BackendError where it does not time layers.
    """
    builder = backends.backend(backend)
    with device_lease(builder.device()):  # some builders time tactics on it
        return _profiled(builder.build(network, batch, **options), builder, batch, runs)


def profile_engine(path: str | os.PathLike[str], *, batch: int, runs: int | None = None) -> LayerTable:
    """The layers of an engine file, timed on this machine.

    BackendUnavailable where nothing here runs it, EngineError for a damaged or foreign engine.
    """
    loader = backends.engine_backend(path)
    return _profiled(loader.load_engine(path), loader, batch, runs)


def _profiled(engine: Engine, by: Backend, batch: int, runs: int | None) -> LayerTable:
    with device_lease(by.device()), engine.session() as session:
        session.load(stand_ins(session.inputs, batch))
        table = layer_table(session, session.execute().wall, runs)
    if not table:
        raise BackendError(f"the {by.name} backend timed no layers of this network")
    return table


# Seconds that profiled batches may take together; a slow network gets the fewest.
_BUDGET = 0.2
_FEWEST, _MOST = 3, 20


def layer_table(session: Session, batch_seconds: float, runs: int | None = None) -> LayerTable:
    """Median times of every layer over `runs` runs of the loaded batch (None: as many as 0.2 s hold, 3 to 20).

    `batch_seconds` is what one takes. Empty where the backend has no such thing, or it fails: a profile is no reason to
    lose a measurement.
    """
    if runs is None:
        runs = max(_FEWEST, min(_MOST, int(_BUDGET / batch_seconds) if batch_seconds > 0 else _MOST))
    try:
        return session.layer_times(runs)
    except InferkitError:
        return ()
