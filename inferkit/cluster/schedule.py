"""The schedule of tasks on workers, and of tasks whose worker is lost. Pure: no input or output.

A task is given out, and then finished once or lost; a lost one goes back to the front of the queue. Exclusive tasks
(latencies) never run at the same time in one group of workers, those on one CPU socket of a machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from inferkit.errors import MeasurementError

UNKNOWN = "unknown"


@dataclass(frozen=True)
class PoolWorker:
    """A worker does one task at a time. `kind` is what it computes on, `group` what it shares with neighbours:
    `machine/socket`, where a socket that is UNKNOWN may be any of that machine.
    """

    name: str
    kind: str
    group: str

    def beside(self, other: PoolWorker) -> bool:
        """Whether the two may be on the same CPU socket."""
        (machine, _, socket), (theirs, _, their_socket) = (each.group.rpartition("/") for each in (self, other))
        return machine == theirs and (socket == their_socket or UNKNOWN in (socket, their_socket))


@dataclass(frozen=True)
class Task:
    """Something to be done once. `kinds` of workers can do it (None: any)."""

    name: str
    kinds: frozenset[str] | None = None
    exclusive: bool = False


class Schedule:
    """The state of a run. A task that loses `attempts` workers is given up: it may be what kills them."""

    def __init__(self, tasks: Iterable[Task], attempts: int = 3) -> None:
        self._waiting = deque(tasks)
        self._running: dict[PoolWorker, Task] = {}
        self._lost: dict[str, int] = {}
        self._attempts = attempts
        names = [task.name for task in self._waiting]
        if len(set(names)) < len(names):
            raise ValueError("two tasks have the same name")

    @property
    def open(self) -> bool:
        """Whether anything is still to be done or running."""
        return bool(self._waiting or self._running)

    @property
    def waiting(self) -> list[str]:
        """The names of the tasks that nobody does yet."""
        return [task.name for task in self._waiting]

    def take(self, worker: PoolWorker) -> Task | None:
        """The next task for an idle worker, None where there is none that it may do now."""
        if worker in self._running:
            raise ValueError(f"{worker.name} has a task")
        disturbed = any(task.exclusive and worker.beside(at) for at, task in self._running.items())
        for task in self._waiting:
            fits = task.kinds is None or worker.kind in task.kinds
            if fits and not (task.exclusive and disturbed):
                self._waiting.remove(task)
                self._running[worker] = task
                return task
        return None

    def finished(self, worker: PoolWorker) -> Task:
        """The worker's task is done."""
        return self._running.pop(worker)

    def lost(self, worker: PoolWorker) -> Task | None:
        """The worker is gone; its task, which others will do. MeasurementError where it took too many with it."""
        task = self._running.pop(worker, None)
        if task is None:
            return None
        self._lost[task.name] = self._lost.get(task.name, 0) + 1
        if self._lost[task.name] >= self._attempts:
            raise MeasurementError(f"{task.name}: {self._attempts} workers were lost while they ran it; giving up")
        self._waiting.appendleft(task)
        return task
