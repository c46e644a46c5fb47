"""Warm-up ends when the time has settled, and in any case at its limit."""

from itertools import chain, count, repeat

from inferkit.measure.latency.warmup import warm_up


class Machine:
    """A clock that only moves when a run takes its time: no waiting, no noise."""

    def __init__(self, times):
        self.time, self.times = 0.0, iter(times)

    def now(self):
        return self.time

    def run(self):
        took = next(self.times)
        self.time += took
        return took


def test_a_steady_machine_is_warm_after_three_windows():
    machine = Machine(repeat(0.01))
    result = warm_up(machine.run, window=0.05, now=machine.now)
    assert result.settled
    assert 15 <= result.runs <= 18


def test_slow_first_runs_are_left_behind():
    machine = Machine(chain((0.05 * 0.87**i for i in range(12)), repeat(0.01)))
    result = warm_up(machine.run, window=0.05, limit=10, now=machine.now)
    assert result.settled
    assert result.runs > 12 + 9


def test_a_machine_that_never_settles_ends_at_the_limit_and_says_so():
    machine = Machine(0.01 * 1.1**i for i in count())
    result = warm_up(machine.run, limit=1.0, now=machine.now)
    assert not result.settled
    assert 1.0 <= result.seconds < 1.2


def test_one_run_longer_than_the_limit_is_not_repeated():
    machine = Machine(repeat(5.0))
    result = warm_up(machine.run, limit=2.0, now=machine.now)
    assert (result.runs, result.settled) == (1, False)


def test_a_wandering_clock_keeps_it_going():
    machine = Machine(repeat(0.01))
    clocks = iter(chain([1000.0, 1200.0, 1500.0], repeat(1980.0)))
    result = warm_up(machine.run, window=0.05, limit=10, clock=lambda: next(clocks), now=machine.now)
    assert result.settled
    assert result.runs >= 6 * 5


def test_a_clock_that_cannot_be_read_does_not_matter():
    machine = Machine(repeat(0.01))
    assert warm_up(machine.run, clock=lambda: None, now=machine.now).settled
