"""SIGTERM, by which CI cancels a run, ends what measures like Ctrl-C: nothing that it made for itself stays behind."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """In this block SIGTERM raises KeyboardInterrupt; outside of the main thread, which alone gets it, nothing changes.

    What the signal did before is what it does afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        # None: a handler that was not set from Python, which cannot be set again.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if previous is None else previous)
