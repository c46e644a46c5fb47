"""The thread that waits for a GPU keeps to the core where a run takes least, and is given back afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

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


class Machine:
    """Runs take a second on one core and two on the others; nothing waits, so that looking costs nothing."""

    def __init__(self, quick: int) -> None:
        self.quick, self.runs = quick, 0

    def run(self) -> float:
        self.runs += 1
        return 1.0 if os.sched_getaffinity(0) == {self.quick} else 2.0


@pytest.mark.parametrize("which", (0, 1))
def test_it_stays_on_the_quickest_core(cores: tuple[int, int], which: int) -> None:
    machine = Machine(cores[which])
    with QuietCore(machine.run) as placed:
        for _ in range(3):
            placed.look()
            assert os.sched_getaffinity(0) == {cores[which]}
        assert placed.as_dict() == {"core": cores[which], "looks": 3, "moves": 1}
    assert os.sched_getaffinity(0) == set(cores)


def test_it_moves_when_the_core_becomes_slow(cores: tuple[int, int]) -> None:
    machine = Machine(cores[0])
    with QuietCore(machine.run) as placed:
        placed.look()
        machine.quick = cores[1]
        placed.look()
        assert placed.as_dict() == {"core": cores[1], "looks": 2, "moves": 2}
    assert os.sched_getaffinity(0) == set(cores)


def test_every_run_is_counted_since_the_energy_of_all_is(cores: tuple[int, int]) -> None:
    machine = Machine(cores[0])
    with QuietCore(machine.run) as placed:
        placed.look()
        placed.look()
    assert placed.runs == machine.runs > 2 * 2 * 8


def test_long_runs_leave_the_thread_free(cores: tuple[int, int]) -> None:
    def run() -> float:
        time.sleep(0.01)
        return 0.01

    with QuietCore(run) as placed:
        placed.look()
        assert os.sched_getaffinity(0) == set(cores)
    assert placed.as_dict() == {"core": None, "looks": 0, "moves": 0}
    assert placed.runs == 1


def test_one_core_leaves_nothing_to_choose(cores: tuple[int, int]) -> None:
    os.sched_setaffinity(0, {cores[1]})
    with QuietCore(Machine(cores[1]).run) as placed:
        placed.look()
    assert placed.core is None
    assert os.sched_getaffinity(0) == {cores[1]}


def test_a_sandbox_that_forbids_binding_is_no_error(cores: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(thread: int, mask: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(os, "sched_setaffinity", forbidden)
        with QuietCore(Machine(cores[0]).run) as placed:
            placed.look()
            placed.look()
    assert placed.as_dict() == {"core": None, "looks": 0, "moves": 0}
