"""A lease on a device: two cases never share a GPU, whichever processes they run in.

The lease is a lock of the operating system on a file named after the device, so it ends with the process that holds
it, however that ends: a crash leaves nothing to clean up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inferkit.errors import MeasurementError

FOLDER = "INFERKIT_LEASE_DIR"


def lease_folder() -> Path:
    """Where leases lie: one folder for all users of the machine. $INFERKIT_LEASE_DIR, else in the temporary folder."""
    chosen = os.environ.get(FOLDER)
    folder = Path(chosen) if chosen else Path(tempfile.gettempdir()) / "inferkit-leases"
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            folder.chmod(0o777)  # other users take leases too; the umask would have kept them out
    return folder


# The suite ends a waiting process after 900 s: before that it must say what it waited for.
LEASE_SECONDS = 600.0
_QUIET_SECONDS = 5.0  # of waiting, after which a message says so
_LOG = logging.getLogger("inferkit.lease")


@contextmanager
def device_lease(device: str | None, timeout: float | None = LEASE_SECONDS) -> Iterator[float]:
    """Hold the device (a GPU's UUID; None needs no lease) for a `with` block; waits for whoever holds it.

    Gives the seconds that it waited. Take it before a session is opened: loading an engine disturbs who measures.
    Taken twice by one process, the inner one costs nothing. `timeout` in seconds, None waits for ever; after five
    seconds a message on stderr says so.
    Raises MeasurementError where it is not free in time, or the lease cannot be written.
    """
    if device is None:
        yield 0.0
        return
    from filelock import FileLock, Timeout  # 15 ms, which a process that measures on a CPU need not spend

    start = time.monotonic()
    name = "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in device)
    try:
        path = lease_folder() / f"{name}.lock"
        lock = FileLock(path, is_singleton=True, mode=0o666)
        _acquire(lock, timeout, device)
    except Timeout:
        raise MeasurementError(
            f"{device} is in use by another measurement and was not free within {timeout:g} s; wait for it, or choose "
            "another device"
        ) from None
    except OSError as error:
        raise MeasurementError(
            f"the lease of {device} cannot be taken ({error}); set {FOLDER} to a folder that every user can write"
        ) from error
    try:
        yield time.monotonic() - start
    finally:
        lock.release()


def _acquire(lock: Any, timeout: float | None, device: str) -> None:
    """Wait for the lock, and say so where it takes long. Raises the lock's Timeout."""
    from filelock import Timeout

    if timeout is not None and timeout <= _QUIET_SECONDS:
        lock.acquire(timeout=timeout)
        return
    try:
        lock.acquire(timeout=_QUIET_SECONDS)
    except Timeout:
        _LOG.warning("%s is in use by another measurement; waiting for it", device)
        lock.acquire(timeout=-1 if timeout is None else timeout - _QUIET_SECONDS)
