"""Who writes an entry of the stored models: one process at a time, and what killed ones left of it is removed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PREFIX = ".building-"


@contextlib.contextmanager
def writing(folder: Path, key: str) -> Iterator[Path]:
    """Hold the entry `key` of `folder`; yields a hidden folder beside it, gone afterwards, to build in.

    Another process (or thread) that holds it is waited for. The system frees the lock when its holder dies. OSError
    where the folder cannot be written to.
    """
    with _lock(folder, key), tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{key}-", dir=folder) as scratch:
        yield Path(scratch)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in `folder`. What a living one is building is its own: it holds the lock."""
    building = [(path.name.removeprefix(_PREFIX).partition("-")[0], path) for path in folder.glob(f"{_PREFIX}*-*")]
    notes = [(path.name[1:].partition(".")[0], path) for path in folder.glob(".*.json.*.tmp")]
    for key, left in building + notes:
        # A lock that is taken, a folder that is read-only, a file system without locks: it stays where it is.
        with contextlib.suppress(OSError, NotImplementedError), _lock(folder, key, timeout=0):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _lock(folder: Path, key: str, timeout: float = -1) -> contextlib.AbstractContextManager[Any]:
    from filelock import FileLock  # only sessions that store their model need it

    return FileLock(folder / f"{key}.lock", timeout=timeout)
