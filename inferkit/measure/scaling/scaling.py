"""One network on several devices at the same time: how throughput scales, and what each device loses in company.

One process per device, each with its engine open under the device's lease. All get the same window of the clock
and run in it together; windows in which a device runs alone are what the others are compared with. Rounds of all
windows are repeated, every other one backwards, so that what drifts falls on all counts of devices alike.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from inferkit.errors import MeasurementError
from inferkit.measure.jobs.interpreter import this_interpreter, with_environment
from inferkit.measure.jobs.launch import last_words
from inferkit.measure.machine.host import HostActivity, HostState, usable_cpus
from inferkit.measure.machine.processes import ProcessTimes
from inferkit.measure.scaling.worker import WindowSpec

SCHEMA = 1
KIND = "scaling"
_LEAD = 0.5  # seconds between announcing a window and its start: every process runs by then


@dataclass(frozen=True)
class Window:
    """One window: images per second of each device that ran in it. `invalid` says what spoiled it."""

    round: int
    rates: dict[str, float]
    invalid: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """Images per second of all together."""
        return sum(self.rates.values())


@dataclass(frozen=True)
class Scaling:
    """What a number of devices reach together; medians over the rounds.

    `total` is in images per second, `ratio` that over the first device alone, `share` that over the sum of what each
    of them does alone (1.0: they do not disturb each other). `lost` is by device the share of its own rate that it
    loses in company.
    """

    count: int
    total: float
    ratio: float
    share: float
    lost: dict[str, float]


def measure_scaling(
    specs: dict[str, WindowSpec],
    counts: Sequence[int],
    *,
    seconds: float,
    rounds: int,
    unit: str = "images",
    say: Callable[[str], None] = lambda line: None,
) -> list[Window]:
    """Open all devices, then measure each alone and the first `count` together, for every count, `rounds` times.

    `specs` by a name for each device; `unit` is what a batch consists of; `say` gets a line for each window.
    Raises MeasurementError where a process fails or dies, with its last words.
    """
    names = list(specs)
    sets = [(name,) for name in names] + [tuple(names[:count]) for count in counts if count > 1]
    on_cpu = all(spec.device is None for spec in specs.values())
    windows: list[Window] = []
    with contextlib.ExitStack() as stack:
        devices = {name: stack.enter_context(_opened(name, spec)) for name, spec in specs.items()}
        for device in devices.values():
            device.answer(900.0)
            say(f"{device.name}: ready")
        for number in range(rounds):
            for chosen in sets if number % 2 == 0 else sets[::-1]:
                window = _window([devices[name] for name in chosen], number, seconds, on_cpu)
                windows.append(window)
                spoiled = "".join(f" · {reason}" for reason in window.invalid)
                say(f"round {number + 1}, {' + '.join(chosen)}: {window.total:,.1f} {unit}/s{spoiled}")
    return windows


def summarize(names: Sequence[str], windows: Sequence[Window]) -> list[Scaling]:
    """One entry for each number of devices that ran, in order. Pure."""
    alone = {name: median(window.rates[name] for window in windows if tuple(window.rates) == (name,)) for name in names}
    scalings = []
    for count in sorted({len(window.rates) for window in windows}):
        together = [window for window in windows if tuple(window.rates) == tuple(names[:count])]
        total = median(window.total for window in together)
        own = sum(alone[name] for name in names[:count])
        lost = {name: 1 - median(window.rates[name] for window in together) / alone[name] for name in names[:count]}
        scalings.append(Scaling(count, total, total / alone[names[0]], total / own, lost))
    return scalings


def scaling_as_dict(names: Sequence[str], windows: Sequence[Window], **facts: Any) -> dict[str, Any]:
    """The JSON of a measurement: `facts` beside `schema`, `kind`, the summary and every window."""
    return {
        "schema": SCHEMA,
        "kind": KIND,
        **facts,
        "devices": list(names),
        "scaling": [asdict(each) for each in summarize(names, windows)],
        "windows": [asdict(window) for window in windows],
    }


def _window(devices: Sequence[_Device], number: int, seconds: float, on_cpu: bool) -> Window:
    start = time.monotonic() + _LEAD
    processes, host_before = ProcessTimes.now(), HostState.now()
    for device in devices:
        device.send(start=start, seconds=seconds)
    answers = {device.name: device.answer(_LEAD + seconds + 120.0) for device in devices}
    activity = HostActivity.between(host_before, HostState.now(), time.monotonic() - start + _LEAD, processes)
    invalid = list(activity.disturbances(usable_cpus())) if on_cpu else []
    for name, answer in answers.items():
        invalid += [f"{name}: {reason}" for reason in answer["disturbances"]]
        # A batch that takes longer than this of the window ran beside nobody for a part of its time.
        if answer["late"] > 0.1 * seconds or answer["ended"] - start > 1.1 * seconds:
            invalid.append(f"{name} overran the window by more than a tenth: use longer --seconds")
    rates = {name: answer["images"] / (answer["ended"] - answer["began"]) for name, answer in answers.items()}
    return Window(number, rates, tuple(invalid))


class _Device:
    """The process of one device, spoken to in lines of JSON."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self.name, self._process, self._log = name, process, log

    def send(self, **command: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: its answer says why
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()

    def answer(self, timeout: float) -> dict[str, Any]:
        """The next answer. MeasurementError where there is none in time, or it says that something failed."""
        import select

        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise MeasurementError(f"{self.name}: no answer within {timeout:g} s{last_words(self._log)}")
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise MeasurementError(f"{self.name}: the process ended with exit code {code}{last_words(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise MeasurementError(f"{self.name}: {answer['failed']}")
        return answer


@contextlib.contextmanager
def _opened(name: str, spec: WindowSpec) -> Iterator[_Device]:
    """A device's process; it is ended with the block, however that ends."""
    by = with_environment(None, spec.environment) or this_interpreter()
    with tempfile.TemporaryDirectory(prefix="inferkit-window-") as folder:
        log = Path(folder, "log.txt")
        with (
            log.open("wb") as words,
            subprocess.Popen(
                [by.python, "-P", "-m", "inferkit.measure.scaling.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                env=by.variables(),
                text=True,
                bufsize=1,
            ) as process,
        ):
            device = _Device(name, process, log)
            device.send(**spec.as_dict())
            try:
                yield device
            finally:
                if process.stdin is not None:
                    with contextlib.suppress(BrokenPipeError):
                        process.stdin.close()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
