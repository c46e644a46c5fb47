"""Who computes it: one folder per backend behind one small interface, found by entry points of `inferkit.backends`.

[project.entry-points."inferkit.backends"]
mine = "my_package:BACKEND"         # an instance of inferkit.backends.base.Backend named "mine"
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.backends.base import Backend, Engine
    from inferkit.backends.uint8_input import Uint8Input
    from inferkit.network.network import Network

GROUP = "inferkit.backends"
DEFAULT_BACKEND = "onnxruntime"  # needs no special hardware: what computes where nobody says
DEFAULT_ENGINE_BACKEND = "tensorrt"  # of the commands whose engines are files, or run on GPUs

# The same as in pyproject.toml, for checkouts that are not installed. A process that measures asks for one of these by
# name, and then no distribution's metadata is read: that takes 50 ms, which would count as the engine's cold start.
BUILT_IN = {
    "onnxruntime": "inferkit.backends.onnxruntime:BACKEND",
    "caffe": "inferkit.backends.caffe:BACKEND",
    "tensorrt": "inferkit.backends.tensorrt:BACKEND",
}
_NAME = re.compile(r"[A-Za-z0-9_.]+")


def backend_names() -> tuple[str, ...]:
    """The names of all backends: the built-in ones, then those of other distributions in alphabetical order.

    UsageError where two distributions announce the same name: whoever lists them (matrix, commands, doctor) says so.
    """
    return (*BUILT_IN, *_announced())


def backend(name: str) -> Backend:
    """The backend of this name; its libraries are imported only when it is used. UsageError for an unknown name.

    One that cannot be imported is available for no precision, and says why where it is built with.
    """
    from inferkit.backends.loading import loaded

    if name in BUILT_IN:
        return loaded(name, BUILT_IN[name], "inferkit")
    if name not in _announced():
        raise UsageError(f"unknown backend {name!r}; there are {', '.join(backend_names())}")
    return loaded(name, *_announced()[name])


@cache
def _announced() -> dict[str, tuple[str, str]]:
    """What other distributions announce, by name: the object as `module:attribute`, and the distribution."""
    from importlib.metadata import entry_points

    found = dict.fromkeys(BUILT_IN, ("", "inferkit"))
    points = (
        (point.name, f"{point.dist.name} {point.dist.version}" if point.dist else "unknown", point.value)
        for point in entry_points(group=GROUP)
    )
    for name, distribution, value in sorted(points):
        if BUILT_IN.get(name) == value:
            continue  # by inferkit's own metadata
        if name in found:
            both = f"{found[name][1]} and {distribution}"
            raise UsageError(f"two distributions announce the backend {name!r}: {both}; uninstall one of them")
        if not _NAME.fullmatch(name):
            letters = "must be letters, digits, '_' and '.': case ids are made of it"
            raise UsageError(f"the name of the backend {name!r} of {distribution} {letters}")
        found[name] = (value, distribution)
    return {name: announced for name, announced in found.items() if name not in BUILT_IN}


_by_name = backend  # in `build` that is the name of a parameter


def build(
    network: Network,
    backend: str = DEFAULT_BACKEND,
    max_batch: int = 1,
    *,
    uint8_input: Uint8Input | None = None,
    **options: Any,
) -> Engine:
    """Build an engine that runs `network` for batches of 1 to `max_batch`; see the backend for its options.

    `uint8_input`: take raw pixels; mean and scale are the network's then, a part of `Engine.network`.
    Raises UsageError for an unknown backend, BackendUnavailable where it cannot run here, BackendError where it fails.
    """
    if uint8_input is not None:
        from inferkit.backends.uint8_input import with_uint8_input

        network = with_uint8_input(network, uint8_input)
    return _by_name(backend).build(network, max_batch, **options)


def engine_suffixes() -> tuple[str, ...]:
    """What names of engine files end in, of all backends."""
    return tuple(suffix for name in backend_names() for suffix in backend(name).facts.engine_suffixes)


def engine_backend(path: str | os.PathLike[str]) -> Backend:
    """The backend of an engine file, by its metadata; where these are missing, one that says so when it reads it."""
    found = [each for name in backend_names() if (each := backend(name)).facts.keeps_engine_files]
    return next((each for each in found if each.owns(path)), found[0])
