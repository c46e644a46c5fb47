"""Progress of a running campaign: the interface that reports implement; the default is silent."""

from __future__ import annotations


class Progress:
    """Called for every process that a campaign starts."""

    def begin(self, steps: int) -> None:
        """So many processes are planned."""

    def more(self, steps: int) -> None:
        """So many are added: suspicious cases are measured again."""

    def step(self, what: str) -> None:
        """One process starts: `what` is it."""

    def done(self) -> None:
        """One process ended."""

    def end(self) -> None:
        """Nothing more comes."""
