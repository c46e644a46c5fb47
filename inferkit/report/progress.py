"""The progress of a long run and of its long steps: a bar with the time left on a terminal, lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from inferkit.measure.progress import Progress
from inferkit.progress import listening
from inferkit.report.encoding import never_failing

LOG_SECONDS = 15.0  # between two lines on one step in a log
_BAR = 16
_BESIDE = _BAR + 20  # columns that the bar, the count of steps and the time left take, up to 9999 steps


class Estimate:
    """How far a long step is, as text: `calibration images: 24 %, about 40 s left`; for one task after the other."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: dict[str, tuple[float, int]] = {}

    def text(self, what: str, done: int, total: int | None) -> str:
        """What was told, and the time left by what was done since the task was first told of."""
        now = self._clock()
        began, first = self._began.setdefault(what, (now, done))
        if total is None:
            return f"{what}: {done}"
        if done >= total:
            del self._began[what]  # the next of this name begins anew
        left = time_left(now - began, done - first, total - first)
        return f"{what}: {done / max(total, 1):.0%}".replace("%", " %") + (left and f", {left}")


class NowAndThen:
    """An Estimate for logs: the line of it, or nothing where the last one, or the beginning, is not long ago."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._estimate = Estimate(clock)
        self._last: float | None = None

    def line(self, what: str, done: int, total: int | None) -> str:
        text = self._estimate.text(what, done, total)
        now = self._clock()
        if self._last is None or (total is not None and done >= total):
            self._last = now
        if now - self._last < LOG_SECONDS:
            return ""
        self._last = now
        return text


class Lines(Progress):
    """One line per step, for logs: `[ 3/54] lenet-fp32-b1-onnxruntime, replicate 1 of 3`; of a long step, some more."""

    shows_steps = True

    def __init__(self, write: Any) -> None:
        self._write = write
        self._steps = self._done = 0
        self._within = NowAndThen()

    def begin(self, steps: int) -> None:
        self._steps, self._done = steps, 0

    def more(self, steps: int) -> None:
        self._steps += steps

    def step(self, what: str) -> None:
        self._done += 1
        self._within = NowAndThen()
        total = max(self._steps, self._done)
        self._write(f"[{self._done:>{len(str(total))}}/{total}] {what}")

    def within(self, what: str, done: int, total: int | None) -> None:
        line = self._within.line(what, done, total)
        if line:
            self._write(f"  {line}")


class Bar(Progress):
    """A bar that disappears when the run ends. Drawn when a process says how far it is, which none does that measures:
    a thread that draws by itself would disturb it."""

    shows_steps = True

    def __init__(self, file: Any = None) -> None:
        self._rich = _rich_bar(file or sys.__stdout__)
        self._task: Any = None
        self._steps = 0
        self._step = ""
        self._within = Estimate()

    def begin(self, steps: int) -> None:
        self._steps = steps
        self._rich.start()
        self._task = self._rich.add_task("", total=steps)

    def more(self, steps: int) -> None:
        self._steps += steps
        self._rich.update(self._task, total=self._steps)

    def step(self, what: str) -> None:
        self._step, self._within = what, Estimate()
        self._describe(what)

    def within(self, what: str, done: int, total: int | None) -> None:
        self._describe(self._step, f": {self._within.text(what, done, total)}")

    def _describe(self, step: str, within: str = "") -> None:
        """What fits beside the bar; of a step's name and how far it is, the name is cut."""
        room = max(self._rich.console.width - _BESIDE, 10)
        if len(step) + len(within) > room:
            step = f"{step[: max(room - len(within) - 1, 0)]}…"
        self._rich.update(self._task, description=f"{step}{within}"[:room], refresh=True)

    def done(self) -> None:
        self._rich.advance(self._task)

    def end(self) -> None:
        self._rich.stop()


def _rich_bar(file: Any) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        BarColumn(_BAR),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    console = Console(file=never_failing(file))
    # Nothing is redirected: what a command prints on stdout would else come out on stderr.
    return RichProgress(
        *columns, console=console, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    )


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
    """Show on stderr how far long work in this block is, with the time left: a bar that disappears on a terminal, a
    line now and then elsewhere."""
    if not _draws(sys.stderr):
        log = NowAndThen()

        def write(what: str, done: int, total: int | None) -> None:
            line = log.line(what, done, total)
            if line:
                print(line, file=sys.stderr, flush=True)

        with listening(write):
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
            if not tasks:
                bar.stop()  # what the command prints next has the terminal for itself

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
