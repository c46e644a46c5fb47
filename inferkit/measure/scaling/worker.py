"""The process of one device when several are measured at the same time: it runs its engine in the windows it gets.

`python -m inferkit.measure.scaling.worker` takes a WindowSpec as one line of JSON on stdin, opens the engine under the
device's lease, warms it up and answers {"ready": …}. Then each line {"start": t, "seconds": s} is a window on the
system's monotonic clock, the same for all processes: the engine runs from before its start to its end, and what was
done within is answered. The end of stdin ends the process. Every answer is one line of JSON on stdout.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.errors import InferkitError, UsageError
from inferkit.measure.engine.engine_file import EngineJob, open_engine
from inferkit.measure.engine.prepared_network import timing_batch
from inferkit.measure.jobs.process import end_with_parent
from inferkit.measure.latency.warmup import warm_up
from inferkit.measure.machine.gpu import GpuTelemetry
from inferkit.measure.machine.lease import device_lease

if TYPE_CHECKING:
    from inferkit.backends.base import Session

_WARM_UP = 3.0


@dataclass(frozen=True)
class WindowSpec(EngineJob):
    """What one process runs, with batches of the engine's largest size.

    `cpus` are those that it is bound to (empty: all that it may use),
    `device` is a GPU's index or UUID, None for a backend that computes on the CPU. `environment` is for the process.
    """

    session: Mapping[str, Any] = field(default_factory=dict)
    cpus: tuple[int, ...] = ()
    device: str | None = None
    lease_timeout: float = 60.0
    environment: Mapping[str, str] = field(default_factory=dict)


def parse_cpus(text: str) -> tuple[int, ...]:
    """`0-3` or `0-3+8` as CPU numbers, sorted. UsageError for anything else."""
    error = UsageError(f"{text!r} is not a set of CPUs; write 0-3, or 0-3+8-11")
    if not re.fullmatch(r"\d+(-\d+)?(\+\d+(-\d+)?)*", text):
        raise error
    numbers: set[int] = set()
    for part in text.split("+"):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    if not numbers:
        raise error
    return tuple(sorted(numbers))


def main() -> int:
    """Serve windows until stdin ends. Exit code 1 where the engine could not be opened, with the reason on stdout."""
    end_with_parent()
    # Libraries write to stdout as they like: answers get a descriptor of their own, the rest goes to stderr.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(**answer: Any) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    spec = WindowSpec.from_dict(json.loads(sys.stdin.readline()))
    try:
        with contextlib.ExitStack() as stack:
            session = _open(spec, stack)
            say(ready=True, device=session.device, settled=_warm(session))
            for line in iter(sys.stdin.readline, ""):
                say(**_window(session, spec.engine.max_batch, **json.loads(line)))
    except InferkitError as error:
        say(failed=str(error))
        return 1
    return 0


def _open(spec: WindowSpec, stack: contextlib.ExitStack) -> Session:
    """The session with its batch loaded; its leases and itself are closed by `stack`."""
    from inferkit.backends import backend

    if spec.cpus:
        _bind(spec.cpus)
    settings = dict(spec.session) if spec.device is None else {**spec.session, "device": spec.device}
    leased = [backend(spec.engine.backend).device(**settings), *(f"cpu-{cpu}" for cpu in spec.cpus)]
    for device in leased:
        stack.enter_context(device_lease(device, timeout=spec.lease_timeout))
    engine = open_engine(spec.engine)
    session = stack.enter_context(engine.session(**settings))
    session.load(timing_batch(Path(spec.engine.prepared), spec.engine.max_batch))
    return session


def _bind(cpus: Sequence[int]) -> None:
    try:
        os.sched_setaffinity(0, cpus)
    except (OSError, AttributeError) as error:
        raise UsageError(f"cannot be bound to the CPUs {', '.join(map(str, cpus))}: {error}") from error


def _warm(session: Session) -> bool:
    gpu = None if session.device is None else GpuTelemetry(session.device)
    clock = None if gpu is None else gpu.sm_clock
    return warm_up(lambda: session.execute().wall, limit=_WARM_UP, clock=clock).settled


def _window(session: Session, batch_size: int, start: float, seconds: float) -> dict[str, Any]:
    """Run from now to the window's end; what was done from its start on, until the execution that crosses its end."""
    now = time.monotonic
    while now() < start:
        session.execute()
    began = ended = now()
    images = executions = 0
    gpu = None if session.device is None else GpuTelemetry(session.device)
    with contextlib.ExitStack() as stack:
        watch = None if gpu is None else stack.enter_context(gpu.watch(0.5))
        began = now()
        while ended < start + seconds:
            session.execute()
            ended = now()
            images += batch_size * session.batches_per_round
            executions += 1
    telemetry = None if watch is None else watch.summary(images)
    return {
        "images": images,
        "executions": executions,
        "began": began,
        "ended": ended,
        "late": began - start,
        "disturbances": [] if telemetry is None else list(telemetry.disturbances()),
        "sm_mhz": None if telemetry is None else telemetry.sm_mhz_mean,
        "power_watts": None if telemetry is None else telemetry.power_watts_mean,
    }


if __name__ == "__main__":
    sys.exit(main())
