"""Who computes it: one module or folder per backend behind one small interface."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.backends.base import Backend, Engine
    from inferkit.network.network import Network

_MODULES = {
    "onnxruntime": "inferkit.backends.onnxruntime",
    "caffe": "inferkit.backends.caffe",
    "tensorrt": "inferkit.backends.tensorrt",
}

BACKENDS = tuple(_MODULES)


def backend(name: str) -> Backend:
    """The backend of this name; its libraries are imported only when it is used. UsageError for an unknown name."""
    if name not in _MODULES:
        raise UsageError(f"unknown backend {name!r}; there are {', '.join(BACKENDS)}")
    found: Backend = import_module(_MODULES[name]).BACKEND
    return found


_by_name = backend  # in `build` that is the name of a parameter


def build(network: Network, backend: str = "onnxruntime", max_batch: int = 1, **options: Any) -> Engine:
    """Build an engine that runs `network` for batches of 1 to `max_batch`; see the backend for its options.

    Raises UsageError for an unknown backend, BackendUnavailable where it cannot run here, BackendError where it fails.
    """
    return _by_name(backend).build(network, max_batch, **options)
