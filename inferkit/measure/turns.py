"""What a process draws once, drawn several times while it measures: the core that waits, and where the engine lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from inferkit.backends.base import Session, Trace
from inferkit.measure.copies import Copies
from inferkit.measure.quiet_core import QuietCore


class Turns:
    """Copies of an engine on a GPU, run from a quiet core: give `execute` and `turn` to `iterate`.

    Threads that are to run on any core are started before the first turn.
    """

    def __init__(self, first: Session, another: Callable[[], Session]) -> None:
        self._copies = Copies(first, another)
        self._core = QuietCore(self._copies.execute)

    def __enter__(self) -> Turns:
        self._copies.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._core.close()
        self._copies.close()

    def execute(self) -> Trace:
        """Run the copy whose turn it is."""
        return self._copies.execute()

    def turn(self, last: Sequence[Trace]) -> None:
        """Let the next copy run, on another core where the `last` runs lost time."""
        self._copies.turn()
        self._core.look(last)

    @property
    def sessions(self) -> list[Session]:
        return self._copies.sessions

    @property
    def runs(self) -> int:
        """Runs that are in no trace."""
        return self._copies.runs + self._core.runs

    def as_dict(self) -> dict[str, Any]:
        """For JSON: how many copies there were, and what became of the core."""
        return {"copies": len(self._copies.sessions), **self._core.as_dict()}
