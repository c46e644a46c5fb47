"""The progress of a long run: a bar with the time left on a terminal, a line per step elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from inferkit.measure.progress import Progress
from inferkit.progress import listening
from inferkit.report.encoding import never_failing


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
    """A bar that disappears when the run ends. Drawn between steps only: a thread that draws disturbs measurements."""

    def __init__(self, file: Any = None) -> None:
        self._rich = _rich_bar(file or sys.__stdout__)
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


def _rich_bar(file: Any) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    return RichProgress(*columns, console=Console(file=never_failing(file)), transient=True, auto_refresh=False)


class _Quiet(Progress):
    """Shows nothing."""


def progress_on(reporter: Any) -> Progress:
    """The progress that suits a pytest terminal reporter: a bar, lines, or nothing (-q, no reporter)."""
    if reporter is None or reporter.config.option.verbose < 0:
        return _Quiet()
    if _draws(sys.__stdout__):
        return Bar()
    began = time.monotonic()
    return Lines(lambda text: reporter.write_line(f"{time.monotonic() - began:6.1f} s {text}"))


def progress_on_stderr() -> Progress:
    """For a command whose stdout is its result: a bar on stderr where that is a terminal, else lines there."""
    if _draws(sys.stderr):
        return Bar(sys.stderr)
    began = time.monotonic()
    return Lines(lambda text: print(f"{time.monotonic() - began:6.1f} s {text}", file=sys.stderr, flush=True))


@contextmanager
def shown_on_stderr() -> Iterator[None]:
    """Draw the progress reported in this block, with the time left; nothing where stderr is not a terminal."""
    if not _draws(sys.stderr):
        yield
        return
    bar = _rich_bar(sys.stderr)
    tasks: dict[str, Any] = {}

    def draw(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            bar.start()
            tasks[what] = bar.add_task(what, total=total)
        bar.update(tasks[what], completed=done, total=total, refresh=True)
        if total is not None and done >= total:
            bar.remove_task(tasks.pop(what))

    try:
        with listening(draw):
            yield
    finally:
        bar.stop()


def time_left(passed: float, done: int, total: int) -> str:
    """`about 40 s left`, by the steps done in `passed` seconds; nothing before the first and after the last."""
    if not 0 < done < total:
        return ""
    seconds = passed / done * (total - done)
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"about {seconds / size:.0f} {unit} left"
    return f"about {max(seconds, 1):.0f} s left"


def _draws(file: Any) -> bool:
    return file is not None and file.isatty() and os.environ.get("TERM") != "dumb"
