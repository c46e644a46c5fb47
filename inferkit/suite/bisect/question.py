"""What a search asks, and the file that keeps how far it is: it goes on after a kill where it was."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from inferkit.errors import UsageError
from inferkit.files import write_atomically
from inferkit.suite.bisect.search import Search

SCHEMA = 1
STATE_FILE = "inferkit-bisect.json"  # in git's folder


@dataclass(frozen=True)
class Question:
    """Which commit made this case worse. `good` and `bad` are full ids, `margin` a share, `min_time` seconds.

    `selects` are the options of `inferkit ab` that select the case, `matrix` is the file that declares it. `extras`
    installs each commit with these extras, None leaves it.
    """

    good: str
    bad: str
    case: str
    selects: tuple[str, ...]
    metric: str
    margin: float
    matrix: str
    extras: str | None = None
    first_parent: bool = False
    min_time: float = 0.5


@dataclass(frozen=True)
class State:
    """A question, and how far its search is."""

    question: Question
    search: Search

    def write(self, path: Path) -> None:
        """Keep it, whole or not at all. UsageError where it cannot be written."""
        content = {"schema": SCHEMA, "question": asdict(self.question), "search": self.search.as_dict()}
        try:
            write_atomically(path, json.dumps(content, indent=1).encode())
        except OSError as error:
            raise UsageError(f"{path}: the state of the search cannot be kept: {error.strerror or error}") from error
