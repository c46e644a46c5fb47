"""Every task is done exactly once, whoever is lost; latencies never meet in one group."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.cluster.schedule import UNKNOWN, PoolWorker, Schedule, Task
from inferkit.errors import MeasurementError

A, B, C = PoolWorker("a", "gpu", "host/0"), PoolWorker("b", "gpu", "host/0"), PoolWorker("c", "gpu", "host/1")


@given(
    st.lists(st.booleans(), min_size=1, max_size=25),
    st.lists(st.sampled_from(["h/0", "h/1", f"h/{UNKNOWN}", "i/0"]), min_size=1, max_size=6),
    st.data(),
)
def test_every_task_is_finished_once_and_exclusive_ones_never_share_a_group(exclusive, groups, data):
    tasks = [Task(f"t{number}", exclusive=is_exclusive) for number, is_exclusive in enumerate(exclusive)]
    workers = [PoolWorker(f"w{number}", "cpu", group) for number, group in enumerate(groups)]
    schedule = Schedule(tasks, attempts=100)
    running: dict[PoolWorker, Task] = {}
    finished: list[str] = []
    while schedule.open:
        for worker in workers:
            if worker not in running and (task := schedule.take(worker)) is not None:
                running[worker] = task
        taken = [worker.group for worker, task in running.items() if task.exclusive]
        assert len(set(taken)) == len(taken)
        if f"h/{UNKNOWN}" in taken:
            assert not {"h/0", "h/1"} & set(taken)
        assert running, "idle workers and open tasks"
        worker = data.draw(st.sampled_from(sorted(running, key=lambda w: w.name)))
        task = running.pop(worker)
        if len(workers) > 1 and data.draw(st.booleans()):
            workers.remove(worker)
            assert schedule.lost(worker) == task
        else:
            assert schedule.finished(worker) == task
            finished.append(task.name)
    assert sorted(finished) == sorted(task.name for task in tasks)


def test_a_neighbour_waits_or_does_what_is_not_exclusive():
    schedule = Schedule([Task("latency 1", exclusive=True), Task("latency 2", exclusive=True), Task("accuracy")])
    assert schedule.take(A) == Task("latency 1", exclusive=True)
    assert schedule.take(B) == Task("accuracy")
    assert schedule.take(C) == Task("latency 2", exclusive=True)


def test_a_gpu_of_an_unknown_socket_is_beside_all_of_its_machine():
    anywhere = PoolWorker("d", "gpu", f"host/{UNKNOWN}")
    for first, second in ((anywhere, A), (A, anywhere), (C, anywhere)):
        schedule = Schedule([Task("latency 1", exclusive=True), Task("latency 2", exclusive=True)])
        schedule.take(first)
        assert schedule.take(second) is None
    elsewhere = PoolWorker("e", "gpu", "other/0")
    schedule = Schedule([Task("latency 1", exclusive=True), Task("latency 2", exclusive=True)])
    schedule.take(anywhere)
    assert schedule.take(elsewhere) == Task("latency 2", exclusive=True)


def test_a_lost_task_comes_first_and_its_worker_is_not_waited_for():
    schedule = Schedule([Task("one"), Task("two")])
    schedule.take(A)
    assert schedule.lost(A) == Task("one")
    assert schedule.lost(B) is None
    assert schedule.take(B) == Task("one")


def test_what_kills_its_workers_is_given_up():
    schedule = Schedule([Task("poison")], attempts=2)
    schedule.take(A)
    schedule.lost(A)
    schedule.take(B)
    with pytest.raises(MeasurementError, match="poison: 2 workers were lost"):
        schedule.lost(B)


def test_a_task_waits_for_a_kind_that_can_do_it():
    schedule = Schedule([Task("int8", frozenset(["L4"]))])
    assert schedule.take(A) is None
    assert schedule.waiting == ["int8"]
