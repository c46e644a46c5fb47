"""The input that is being run, in a file: it is still there when the process was killed by a signal."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path

_SIZE = 8  # bytes of the file that hold 1 + the input's length; 0: there was none yet


def keeper(path: Path, most_bytes: int) -> Callable[[bytes], None]:
    """Makes the file, for inputs of up to `most_bytes`; what is returned puts one into it, without a system call."""
    path.write_bytes(bytes(_SIZE + most_bytes))
    with path.open("r+b") as file:
        room = mmap.mmap(file.fileno(), _SIZE + most_bytes)

    def keep(content: bytes) -> None:
        content = content[:most_bytes]
        room[_SIZE : _SIZE + len(content)] = content
        room[:_SIZE] = (1 + len(content)).to_bytes(_SIZE, "little")

    return keep


def last_input(path: Path) -> bytes | None:
    """What was put into the file last; None where that was nothing."""
    if not path.exists():
        return None
    stored = path.read_bytes()
    size = int.from_bytes(stored[:_SIZE], "little")
    return stored[_SIZE : _SIZE + size - 1] if size else None
