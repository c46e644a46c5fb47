"""inferkit: build and run inference engines, and fail the build when one got worse.

Importing this package loads nothing heavy; each public name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from inferkit.errors import InferkitError
from inferkit.version import __version__

if TYPE_CHECKING:
    from inferkit.backends import build as build
    from inferkit.network.load import load as load
    from inferkit.network.network import Network as Network
    from inferkit.precision import at_precision as at_precision

_WHERE = {
    "Network": "inferkit.network.network",
    "load": "inferkit.network.load",
    "at_precision": "inferkit.precision",
    "build": "inferkit.backends",
}

__all__ = ["InferkitError", "Network", "__version__", "at_precision", "build", "load"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'inferkit' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
