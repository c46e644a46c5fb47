"""Who used the CPUs meanwhile: the processes of others, by what each used between two readings of /proc."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_NAMED = 2
_WORTH_NAMING = 0.1  # of one CPU
_HALF = 0.5
_ONE_CORE = 1.05  # CPUs: no more than one, by clocks that tick a hundred times a second
_PROC = Path("/proc")
# Fields of /proc/PID/stat after the name, from 0: state, parent, ... (man 5 proc, where they are counted from 3).
_PARENT, _USER, _SYSTEM, _STARTED, _CORE = 1, 11, 12, 19, 36


@dataclass(frozen=True)
class ProcessTime:
    """CPU `seconds` of one process so far, the CPU that it ran on last, its parent and name."""

    name: str
    parent: int
    seconds: float
    core: int


@dataclass(frozen=True)
class ProcessTimes:
    """All processes that can be seen, by (pid, start), at a time of time.monotonic(). Empty where there is no /proc."""

    at: float
    processes: Mapping[tuple[int, int], ProcessTime] = field(default_factory=dict)

    @classmethod
    def now(cls) -> ProcessTimes:
        """One pass over /proc, some 20 µs a process: take it outside of what is timed. Never raises."""
        processes = {}
        with contextlib.suppress(OSError):
            for entry in os.scandir(_PROC):
                if entry.name.isdigit():
                    with contextlib.suppress(OSError, ValueError, IndexError):
                        start, process = _parsed(Path(entry.path, "stat").read_text(errors="replace"))
                        processes[int(entry.name), start] = process
        return cls(time.monotonic(), processes)

    def disturbers(self, before: ProcessTimes, others: float | None) -> tuple[str, ...]:
        """The two processes that used most since `before`: `python3 (pid 4242) used 0.9 of CPU 1`.

        This process and its descendants are left out. `others` is what all others used together, in CPUs: where more
        than half of it is of processes that have ended or are not of this container, it says so.
        """
        seconds = self.at - before.at
        if seconds <= 0:
            return ()
        own = self._own()
        used = []
        for key, process in self.processes.items():
            earlier = before.processes.get(key)
            share = (process.seconds - (earlier.seconds if earlier else 0.0)) / seconds
            stayed = share <= _ONE_CORE and (earlier is None or earlier.core == process.core)
            where = f"of CPU {process.core}" if stayed else "CPUs"
            if key[0] not in own:
                used.append((share, f"{process.name} (pid {key[0]}) used {share:.1f} {where}"))
        texts = [text for share, text in sorted(used, reverse=True)[:_NAMED] if share >= _WORTH_NAMING]
        unseen = 0.0 if others is None else others - sum(share for share, _ in used)
        if others is not None and unseen > max(_HALF * others, _WORTH_NAMING):
            texts.append(f"processes that cannot be seen here, or have ended, used {unseen:.1f} CPUs")
        return tuple(texts)

    def _own(self) -> set[int]:
        """This process and its descendants."""
        children: dict[int, list[int]] = {}
        for (pid, _), process in self.processes.items():
            children.setdefault(process.parent, []).append(pid)
        own, waiting = set(), [os.getpid()]
        while waiting:
            pid = waiting.pop()
            own.add(pid)
            waiting += [child for child in children.get(pid, ()) if child not in own]
        return own


def _parsed(stat: str) -> tuple[int, ProcessTime]:
    """The start (ticks since boot) and the times in a line of /proc/PID/stat; the name may hold blanks and brackets."""
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    seconds = (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")
    return int(fields[_STARTED]), ProcessTime(name, int(fields[_PARENT]), seconds, int(fields[_CORE]))
