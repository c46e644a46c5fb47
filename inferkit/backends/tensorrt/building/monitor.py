"""How far a build is: TensorRT's own monitor, told to whoever listens to inferkit.progress."""

from __future__ import annotations

from contextvars import copy_context
from threading import Lock
from typing import Any

from inferkit.progress import tell

_WHOLE = 1000  # a build is told in thousandths


class Phases:
    """The phases under way: a tree, since each step of a phase may be a phase of its own."""

    def __init__(self) -> None:
        self._parents: dict[str, str | None] = {}
        self._steps: dict[str, int] = {}
        self._done: dict[str, int] = {}

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins, inside of `parent`."""
        self._parents[name], self._steps[name], self._done[name] = parent, max(steps, 1), 0

    def step(self, name: str, number: int) -> None:
        """The step of this number (from 0) is done."""
        if name in self._done:
            self._done[name] = min(number + 1, self._steps[name])

    def finish(self, name: str) -> None:
        """The phase is over."""
        for known in (self._parents, self._steps, self._done):
            known.pop(name, None)

    @property
    def share(self) -> float:
        """How much of the outermost phase is done, from 0 to 1."""
        return max((self._share(name) for name, parent in self._parents.items() if parent is None), default=1.0)

    def _share(self, name: str) -> float:
        inner = max((self._share(each) for each, parent in self._parents.items() if parent == name), default=0.0)
        return min((self._done[name] + inner) / self._steps[name], 1.0)


def monitor(module: Any, network: str) -> Any:
    """An IProgressMonitor of this TensorRT module, which tells how much of the build of `network` is done.

    TensorRT calls it from threads of its own, where nobody listens: the context of the caller is taken along.
    """
    context, phases, lock = copy_context(), Phases(), Lock()
    furthest = -1

    def told() -> None:
        nonlocal furthest
        done = round(_WHOLE * phases.share)
        if done > furthest:  # a phase may begin anew, and a bar that runs back says nothing
            furthest = done
            context.copy().run(tell, f"building {network}", done, _WHOLE)

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)  # pybind11 wants its own constructor called, not super()'s

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with lock:
                phases.start(phase_name, parent_phase, num_steps)
                told()

        def step_complete(self, phase_name: str, step: int) -> bool:
            with lock:
                phases.step(phase_name, step)
                told()
            return True  # False would end the build

        def phase_finish(self, phase_name: str) -> None:
            with lock:
                phases.finish(phase_name)
                told()

    return Monitor()
