"""How much memory a network takes: the process's high-water mark above what it held before the load."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

import psutil


class HighWater:
    """Measures from its creation: `peak()` is the largest resident size since then, less the size at the start.

    Processes started meanwhile (a backend's worker) are counted whole. Linux tells the true high-water mark;
    elsewhere only the size now is known, and `exact` is False.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.exact = sys.platform == "linux"
        # Imports may have reached higher than the process stands now: put the mark back to here.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._before = self._process.memory_info().rss
        self._children = {child.pid for child in self._process.children(recursive=True)}

    def peak(self) -> int:
        """Bytes above the start; never negative."""
        total = (_mark(self._process) or self._process.memory_info().rss) - self._before
        for child in self._process.children(recursive=True):
            if child.pid not in self._children:
                with contextlib.suppress(psutil.Error):
                    total += _mark(child) or child.memory_info().rss
        return max(total, 0)


def _mark(process: psutil.Process) -> int | None:
    """VmHWM of a process in bytes, None where the system does not tell."""
    with contextlib.suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    return None
