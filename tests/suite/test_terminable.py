"""In its block SIGTERM is Ctrl-C, afterwards what it was before."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from inferkit.suite.terminable import terminable


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN, lambda *_: None])
def test_sigterm_ends_the_block_and_the_handler_comes_back(before: signal.Handlers) -> None:
    own = signal.signal(signal.SIGTERM, before)
    try:
        with pytest.raises(KeyboardInterrupt), terminable():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGTERM, own)


def test_in_another_thread_the_handler_stays_as_it_is() -> None:
    own, seen = signal.getsignal(signal.SIGTERM), []

    def measure() -> None:
        with terminable():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=measure)
    thread.start()
    thread.join()
    assert seen == [own]
