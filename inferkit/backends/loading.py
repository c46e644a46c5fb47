"""A backend from what its distribution announced; in place of one that cannot be used, one that says why."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from operator import attrgetter
from typing import Any, NoReturn

from inferkit.backends.base import Availability, Backend
from inferkit.errors import BackendUnavailable
from inferkit.network.network import Network


class Unusable(Backend):
    """Stands for a backend that is announced and cannot be used; the others go on."""

    precisions = ()

    def __init__(self, name: str, reason: str, hint: str) -> None:
        self.name = name
        self._reason, self._hint = reason, hint

    def availability(self, precision: str = "fp32") -> Availability:
        """Never, with the reason."""
        return Availability(False, self._reason, self._hint)

    def build(self, network: Network, max_batch: int, **options: Any) -> NoReturn:
        """BackendUnavailable, with the reason."""
        raise BackendUnavailable(self._reason, self._hint)


@cache
def loaded(name: str, value: str, distribution: str) -> Backend:
    """The object `value` (`module:attribute`) of `distribution`; Unusable where it is no backend of this name."""
    what, hint = f"the backend {name!r} of {distribution}", f"reinstall or uninstall {distribution}"
    module, _, attribute = value.partition(":")
    try:
        found = attrgetter(attribute)(import_module(module))
    except Exception as error:  # a broken installation fails in any way it likes
        return Unusable(name, f"{what} cannot be imported: {type(error).__name__}: {error}", hint)
    if not isinstance(found, Backend):
        return Unusable(name, f"{what}: {value} is no Backend but {type(found).__name__}", hint)
    if found.name != name:
        return Unusable(name, f"{what}: {value} calls itself {found.name!r}", hint)
    return found
