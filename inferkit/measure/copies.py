"""Copies of one engine that take turns while it is measured: no process owes its times to where its memory lies.

Where a session's memory lies on a GPU decides some microseconds of its execution and of copying out, for as long as it
is open; another session of the same engine, in the same process, has others.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from inferkit.backends.base import Session, Trace
from inferkit.errors import BackendError, WrongResults

_COPIES = 3
_SHORT = 1e-3  # seconds: a longer run does not show the microseconds
_SETTLING = 2  # runs after a turn that bring a copy back into the GPU's caches


class Copies:
    """The `first` session, and two more that `another` opens and runs once, where a run of it is short.

    Fewer where there is no memory for them. `first` stays its owner's: only the others are closed at the end.
    """

    def __init__(self, first: Session, another: Callable[[], Session]) -> None:
        self.sessions = [first]
        self.runs = 0
        self._current = first
        self._another = another

    def __enter__(self) -> Copies:
        try:
            if self.execute().wall < _SHORT:
                while len(self.sessions) < _COPIES:
                    self.sessions.append(self._another())
        except WrongResults:
            self.close()
            raise
        except BackendError:
            pass
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all but the first; safe to call twice."""
        self._current = self.sessions[0]
        while len(self.sessions) > 1:
            self.sessions.pop().close()

    def execute(self) -> Trace:
        """Run the copy whose turn it is."""
        return self._current.execute()

    def turn(self) -> None:
        """Let the next copy run, some runs of which are not looked at."""
        if len(self.sessions) == 1:
            return
        self._current = self.sessions[(self.sessions.index(self._current) + 1) % len(self.sessions)]
        for _ in range(_SETTLING):
            self.execute()
        self.runs += _SETTLING
