"""The errors that inferkit raises: each says what happened, to what, and a hint."""

from __future__ import annotations

from collections.abc import Sequence


def some(names: Sequence[str], most: int = 3, what: str = "") -> str:
    """The first names for a message, and how many more (of `what`) there are: `a, b, c and 4 more cases`."""
    more = f"{len(names) - most} more {what}".rstrip()
    return ", ".join(names[:most]) + (f" and {more}" if len(names) > most else "")


class InferkitError(Exception):
    """Base of every error that inferkit raises on purpose. Command-line tools print it without a traceback."""


class NetworkError(InferkitError):
    """A network cannot be read, converted or checked. The message names file, layer, type and reason."""


class DataError(InferkitError):
    """A dataset, image, label file or mean image cannot be read or does not fit the network."""


class PrecisionError(InferkitError):
    """A precision cannot be applied: missing calibration, a damaged calibration file, an overflow."""


class BackendError(InferkitError):
    """A backend failed to build or run an engine."""


class BackendUnavailable(BackendError):
    """A backend, or one precision of it, cannot run on this machine: a case with it is UNSUPPORTED, not failed.

    `reason` says what is missing, `hint` what the user can do about it.
    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(f"{reason}; {hint}" if hint else reason)
        self.reason = reason
        self.hint = hint


class EngineError(BackendError):
    """A serialized engine is damaged, foreign, or was built for other hardware or another version."""


class MeasurementError(InferkitError):
    """A measurement could not be taken: the process died, the machine was not in a state to measure."""


class BaselineError(InferkitError):
    """A baseline or benchmark JSON file is damaged, of a newer schema, or does not fit what it is compared with."""


class HistoryError(InferkitError):
    """The history of runs is damaged, of a newer schema, or in use by someone who does not let go of it."""


class UsageError(InferkitError):
    """What the user asked for makes no sense: an unknown name, an option that excludes another."""
