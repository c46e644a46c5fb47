"""The thread that waits for a GPU keeps to a core where runs lose no time, and is given back afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inferkit.backends.base import Trace
from inferkit.errors import MeasurementError
from inferkit.measure.machine.quiet_core import QuietCore

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores to choose from"
)


@pytest.fixture(autouse=True)
def leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERKIT_LEASE_DIR", str(tmp_path / "leases"))


@pytest.fixture
def cores() -> Iterator[tuple[int, int]]:
    everywhere = os.sched_getaffinity(0)
    first, second = sorted(everywhere)[:2]
    os.sched_setaffinity(0, {first, second})
    yield first, second
    os.sched_setaffinity(0, everywhere)


def trace(lost: float, compute: float = 300e-6) -> Trace:
    return Trace(host_to_device=lost, compute=compute, device_to_host=5e-6, wall=compute + 5e-6 + lost)


class Machine:
    """Runs lose 10 µs on one core and 15 on the others; only they make its clock go."""

    def __init__(self, quick: int) -> None:
        self.quick, self.runs, self.compute = quick, 0, 300e-6

    def run(self) -> Trace:
        self.runs += 1
        taken = trace(10e-6 if os.sched_getaffinity(0) == {self.quick} else 15e-6, self.compute)
        Clock.now += taken.wall
        return taken


class Clock:
    now = 0.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferkit.measure.machine.quiet_core._clock", lambda: Clock.now)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches are not limited to a share of the time."""
    monkeypatch.setattr("inferkit.measure.machine.quiet_core._SEARCH_SHARE", 1e9)


@pytest.mark.parametrize("which", (0, 1))
def test_it_goes_to_the_quick_core_and_stays(cores: tuple[int, int], which: int) -> None:
    machine = Machine(cores[which])
    placed = QuietCore(machine.run)
    placed.check()
    for _ in range(3):
        assert os.sched_getaffinity(0) == {cores[which]}
        placed.check([machine.run() for _ in range(20)])
    assert placed.as_dict() == {"core": cores[which], "searches": 1, "moves": 1}
    placed.close()
    assert os.sched_getaffinity(0) == set(cores)
    placed.close()


@pytest.mark.usefixtures("patient")
def test_it_moves_when_the_core_becomes_slow(cores: tuple[int, int]) -> None:
    machine = Machine(cores[0])
    placed = QuietCore(machine.run)
    placed.check()
    machine.quick = cores[1]
    placed.check([machine.run() for _ in range(20)])
    assert placed.as_dict() == {"core": cores[1], "searches": 2, "moves": 2}
    placed.close()
    assert os.sched_getaffinity(0) == set(cores)


HOLDER = """
import sys
from inferkit.measure.machine.lease import device_lease
with device_lease(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_core_that_another_measurement_waits_on_is_left_alone(cores: tuple[int, int]) -> None:
    machine = Machine(cores[0])
    command = [sys.executable, "-c", HOLDER, f"cpu-{cores[0]}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        placed = QuietCore(machine.run)
        placed.check()
        assert placed.core == cores[1]
        # And so is the one that this one waits on, until it is closed.
        with pytest.raises(MeasurementError), _in_another_process(f"cpu-{cores[1]}"):
            pass
        placed.close()
        with _in_another_process(f"cpu-{cores[1]}"):
            pass
        holder.communicate()


@contextmanager
def _in_another_process(device: str) -> Iterator[None]:
    done = subprocess.run(
        [sys.executable, "-c", HOLDER.replace("argv[1])", "argv[1], timeout=0)"), device],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MeasurementError(done.stderr)
    yield


def test_a_slower_execution_is_no_reason_to_move(cores: tuple[int, int]) -> None:
    machine = Machine(cores[0])
    placed = QuietCore(machine.run)
    placed.check()
    machine.compute *= 2
    placed.check([machine.run() for _ in range(20)])
    assert placed.searches == 1
    placed.close()


def test_searches_take_a_limited_share_of_the_time(cores: tuple[int, int]) -> None:
    machine = Machine(cores[0])
    placed, began = QuietCore(machine.run), Clock.now
    placed.check()
    for _ in range(400):
        Clock.now += 0.005  # measured
        placed.check([trace(20e-6)] * 15)  # never quiet
    placed.close()
    assert 50 < placed.searches < 400
    assert placed.seconds < 0.3 * (Clock.now - began) + 0.05


@pytest.mark.usefixtures("patient")
def test_every_run_is_counted_since_the_energy_of_all_is(cores: tuple[int, int]) -> None:
    machine = Machine(cores[0])
    placed = QuietCore(machine.run)
    placed.check()
    placed.check([trace(20e-6)] * 20)
    placed.close()
    assert placed.runs == machine.runs > 3 * 8


def test_long_runs_leave_the_thread_free(cores: tuple[int, int]) -> None:
    def run() -> Trace:
        Clock.now += 0.01
        return trace(10e-6, 0.01)

    placed = QuietCore(run)
    for _ in range(3):
        placed.check([run()])
    assert os.sched_getaffinity(0) == set(cores)
    assert placed.as_dict() == {"core": None, "searches": 0, "moves": 0}
    assert placed.runs == 2


def test_one_core_leaves_nothing_to_choose(cores: tuple[int, int]) -> None:
    os.sched_setaffinity(0, {cores[1]})
    placed = QuietCore(Machine(cores[1]).run)
    placed.check()
    placed.close()
    assert placed.searches == 0
    assert os.sched_getaffinity(0) == {cores[1]}


def test_a_sandbox_that_forbids_binding_is_no_error(cores: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(thread: int, mask: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(os, "sched_setaffinity", forbidden)
        placed = QuietCore(Machine(cores[0]).run)
        placed.check()
        placed.check()
        placed.close()
    assert placed.as_dict() == {"core": None, "searches": 0, "moves": 0}
