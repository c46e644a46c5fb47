"""What measures commits for a search, whatever the metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from inferkit.gate.layer_diff import LayerDiff
from inferkit.gate.outcome import Outcome
from inferkit.suite.bisect.search import Search


@dataclass(frozen=True)
class Confirmation:
    """The found commit against its parent: the outcome, and the layers that explain it where they were timed."""

    outcome: Outcome
    layers: LayerDiff | None = None


class Trials(Protocol):
    """Measures commits for a search."""

    def verify(self, search: Search) -> Search:
        """With BAD held against GOOD."""
        ...

    def test(self, search: Search, commit: str) -> Search:
        """With one more step: this commit."""
        ...

    def confirm(self, commit: str, parent: str) -> Confirmation:
        """The commit against its parent."""
        ...
