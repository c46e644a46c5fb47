"""A fuzzing process whose target ends badly: `python ends_badly.py raises|killed FILE [libFuzzer's options]`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tools.fuzz.target import Target
from tools.fuzz.worker import fuzz

CULPRIT = b"the culprit"


class Late:
    """Sends the timer's signal when Python has nearly ended, as it comes by chance at the end of a slow process."""

    def __del__(
        self, send: Callable[[int, int], None] = os.kill, process: int = os.getpid(), number: int = signal.SIGALRM
    ) -> None:
        send(process, number)


def raises(content: bytes) -> None:
    if content == CULPRIT:
        raise ValueError("a bug")


def killed(content: bytes) -> None:
    if content == CULPRIT:
        os.kill(os.getpid(), signal.SIGKILL)


TARGETS = {run.__name__: Target(run.__name__, run, lambda: [CULPRIT]) for run in (raises, killed)}

if __name__ == "__main__":
    sys.late = Late()  # type: ignore[attr-defined]  # sys is cleared after Python's signal handlers
    fuzz(TARGETS[sys.argv[1]], Path(sys.argv[2]), sys.argv[3:])
