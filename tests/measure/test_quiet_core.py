"""The thread that waits for a GPU keeps to a core where runs lose no time, and is given back afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from inferkit.backends.base import Trace
from inferkit.measure.quiet_core import QuietCore

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores to choose from"
)


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
    """Runs lose 10 µs on one core and 15 on the others; nothing waits, so that looking takes no time."""

    def __init__(self, quick: int) -> None:
        self.quick, self.runs, self.compute = quick, 0, 300e-6

    def run(self) -> Trace:
        self.runs += 1
        return trace(10e-6 if os.sched_getaffinity(0) == {self.quick} else 15e-6, self.compute)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches are not limited to a share of the time, of which none passes here."""
    monkeypatch.setattr("inferkit.measure.quiet_core._SEARCH_SHARE", 1e9)


@pytest.mark.parametrize("which", (0, 1))
def test_it_goes_to_the_quick_core_and_stays(cores: tuple[int, int], which: int) -> None:
    machine = Machine(cores[which])
    placed = QuietCore(machine.run)
    placed.look()
    for _ in range(3):
        assert os.sched_getaffinity(0) == {cores[which]}
        placed.look([machine.run() for _ in range(20)])
    assert placed.as_dict() == {"core": cores[which], "searches": 1, "moves": 1}
    placed.close()
    assert os.sched_getaffinity(0) == set(cores)
    placed.close()


@pytest.mark.usefixtures("patient")
def test_it_moves_when_the_core_becomes_slow(cores: tuple[int, int]) -> None:
    machine = Machine(cores[0])
    placed = QuietCore(machine.run)
    placed.look()
    machine.quick = cores[1]
    placed.look([machine.run() for _ in range(20)])
    assert placed.as_dict() == {"core": cores[1], "searches": 2, "moves": 2}
    placed.close()
    assert os.sched_getaffinity(0) == set(cores)


def test_a_slower_execution_is_no_reason_to_move(cores: tuple[int, int]) -> None:
    machine = Machine(cores[0])
    placed = QuietCore(machine.run)
    placed.look()
    machine.compute *= 2
    placed.look([machine.run() for _ in range(20)])
    assert placed.searches == 1
    placed.close()


def test_searches_take_a_limited_share_of_the_time(cores: tuple[int, int]) -> None:
    machine = Machine(cores[0])
    placed = QuietCore(machine.run)
    placed.look()
    for _ in range(200):
        placed.look([trace(20e-6)] * 20)  # never quiet
    placed.close()
    passed = time.perf_counter() - placed._began
    assert placed.searches < 200
    assert placed.seconds < 0.3 * passed + 0.05


@pytest.mark.usefixtures("patient")
def test_every_run_is_counted_since_the_energy_of_all_is(cores: tuple[int, int]) -> None:
    machine = Machine(cores[0])
    placed = QuietCore(machine.run)
    placed.look()
    placed.look([trace(20e-6)] * 20)
    placed.close()
    assert placed.runs == machine.runs > 3 * 8


def test_long_runs_leave_the_thread_free(cores: tuple[int, int]) -> None:
    def run() -> Trace:
        time.sleep(0.01)
        return trace(10e-6, 0.01)

    placed = QuietCore(run)
    for _ in range(3):
        placed.look([run()])
    assert os.sched_getaffinity(0) == set(cores)
    assert placed.as_dict() == {"core": None, "searches": 0, "moves": 0}
    assert placed.runs == 2


def test_one_core_leaves_nothing_to_choose(cores: tuple[int, int]) -> None:
    os.sched_setaffinity(0, {cores[1]})
    placed = QuietCore(Machine(cores[1]).run)
    placed.look()
    placed.close()
    assert placed.searches == 0
    assert os.sched_getaffinity(0) == {cores[1]}


def test_a_sandbox_that_forbids_binding_is_no_error(cores: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(thread: int, mask: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(os, "sched_setaffinity", forbidden)
        placed = QuietCore(Machine(cores[0]).run)
        placed.look()
        placed.look()
        placed.close()
    assert placed.as_dict() == {"core": None, "searches": 0, "moves": 0}
