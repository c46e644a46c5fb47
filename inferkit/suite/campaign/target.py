"""A backend on this machine: whether it runs a precision, and the fingerprint that its latencies belong to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from inferkit.backends import backend as backend_named
from inferkit.backends.base import Availability
from inferkit.errors import InferkitError
from inferkit.gate.fingerprint import Fingerprint, fingerprint
from inferkit.suite.matrix.definition import BackendSettings


@cache
def availability(backend: str, precision: str) -> Availability:
    """Whether the backend can run the precision here; a backend that cannot even be asked is not available."""
    try:
        return backend_named(backend).availability(precision)
    except Exception as error:  # a backend of another distribution may fail in any way it likes
        return Availability(False, str(error) or type(error).__name__)


@cache
def environment_of(backend: str, precision: str) -> Mapping[str, str]:
    """What the processes that build or run this precision with this backend need in their environment."""
    try:
        return backend_named(backend).environment(precision)
    except (InferkitError, ImportError):
        return {}


def measuring_environment(backend: str, precision: str, session: Mapping[str, Any]) -> Mapping[str, str]:
    """`environment_of`, and what keeps a process to the device of its session alone."""
    try:
        alone = backend_named(backend).alone(**session)
    except (InferkitError, ImportError):
        alone = {}
    return {**environment_of(backend, precision), **alone}


def fingerprint_of(backend: str, settings: BackendSettings) -> Fingerprint:
    """The fingerprint of the latencies that this backend measures here with these settings."""
    asked = (availability(backend, precision) for precision in backend_named(backend).precisions)
    version = next((each.version for each in asked if each.version), "")
    parts: dict[str, Any] = backend_named(backend).fingerprint_parts(settings.build, settings.session)
    return fingerprint(backend, version, threads=parts.pop("threads", None), device=parts)
