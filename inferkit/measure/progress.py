"""Progress of a running campaign: the interface that reports implement; the default is silent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from inferkit.progress import listening


class Progress:
    """Called for every process that a campaign starts. Where it `shows_steps`, `within` is called too."""

    shows_steps = False

    def begin(self, steps: int) -> None:
        """So many processes are planned."""

    def more(self, steps: int) -> None:
        """So many are added: suspicious cases are measured again."""

    def step(self, what: str) -> None:
        """One process starts: `what` is it."""

    def within(self, what: str, done: int, total: int | None) -> None:
        """So much of the running step is done (see inferkit.progress.Listener). Another thread may call it."""

    def done(self) -> None:
        """One process ended."""

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """One process, from its start to its end, whatever comes of it."""
        self.step(what)
        try:
            with listening(self.within) if self.shows_steps else nullcontext():
                yield
        finally:
            self.done()

    def end(self) -> None:
        """Nothing more comes."""
