"""How far a long run is: a bar with the time left on a terminal, a line per step elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from inferkit.measure.progress import Progress


class Lines(Progress):
    """One line per step, for logs: `[ 3/54] lenet-fp32-b1-onnxruntime, replicate 1 of 3`."""

    def __init__(self, write: Any) -> None:
        self._write = write
        self._steps = self._done = 0

    def begin(self, steps: int) -> None:
        self._steps, self._done = steps, 0

    def more(self, steps: int) -> None:
        self._steps += steps

    def step(self, what: str) -> None:
        self._done += 1
        total = max(self._steps, self._done)
        self._write(f"[{self._done:>{len(str(total))}}/{total}] {what}")


class Bar(Progress):
    """A bar that is gone when the run is over. Drawn between steps only: a thread that drew would be measured too."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
        )
        console = Console(file=sys.__stdout__)
        self._rich = RichProgress(*columns, console=console, transient=True, auto_refresh=False)
        self._task: Any = None
        self._steps = 0

    def begin(self, steps: int) -> None:
        self._steps = steps
        self._rich.start()
        self._task = self._rich.add_task("", total=steps)

    def more(self, steps: int) -> None:
        self._steps += steps
        self._rich.update(self._task, total=self._steps)

    def step(self, what: str) -> None:
        self._rich.update(self._task, description=what, refresh=True)

    def done(self) -> None:
        self._rich.advance(self._task)

    def end(self) -> None:
        self._rich.stop()


class _Quiet(Progress):
    """Says nothing."""


def progress_on(reporter: Any) -> Progress:
    """The progress that suits a pytest terminal reporter: a bar, lines, or nothing (-q, no reporter)."""
    if reporter is None or reporter.config.option.verbose < 0:
        return _Quiet()
    stdout = sys.__stdout__
    if stdout is not None and stdout.isatty() and os.environ.get("TERM") != "dumb":
        return Bar()
    began = time.monotonic()
    return Lines(lambda text: reporter.write_line(f"{time.monotonic() - began:6.1f} s {text}"))
