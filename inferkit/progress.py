"""How far long work is: whoever does it tells, whoever shows it listens; nobody has to.

Building, calibrating and sweeping happen several calls below the command that shows a bar. They say what they are at
by `tell`; without a listener that costs one look at a variable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# (what is being done, how much of it is done, of how much: None where that is not known)
Listener = Callable[[str, int, int | None], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("inferkit-progress", default=None)


def tell(what: str, done: int, total: int | None = None) -> None:
    """Say that `done` of `total` steps of `what` are done. Call it between steps, never inside of a timed region."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(what, done, total)


def is_heard() -> bool:
    """Whether anybody listens: for work that has to do something extra to know how far it is."""
    return _LISTENER.get() is not None


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear what is told in this block, by this thread and by what it starts with a copy of its context."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)
