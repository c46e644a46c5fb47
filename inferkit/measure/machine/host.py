"""The host of a measurement: CPU model, governor, load, time stolen by other machines, memory that a network takes."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import psutil

from inferkit.measure.machine import busy_host
from inferkit.measure.machine.processes import ProcessTimes

# Shares of all CPUs from which others disturb what is measured.
_BUSY_SHARE = 0.25
_STOLEN_SHARE = 0.1


@dataclass(frozen=True)
class HostState:
    """One reading of the host. Times are seconds since boot, summed over all CPUs; None where the system does not tell.

    `busy` is time spent by anyone, `own` by this process and those that it started, `stolen` what the hypervisor gave
    to other machines.
    """

    load: float | None
    busy: float | None
    stolen: float | None
    own: float
    governor: str | None

    @classmethod
    def now(cls) -> HostState:
        """Read the host now; never raises."""
        busy, stolen = _cpu_times()
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        return cls(load, busy, stolen, _own_time(), governor())


@dataclass(frozen=True)
class HostActivity:
    """What the host did during a measurement of `seconds`: shares of the time of one CPU, None where unknown.

    `others` is what processes other than this one used, `stolen` what the hypervisor took away. `disturbers` says which
    they were (processes.py).
    """

    seconds: float
    load_before: float | None
    load_after: float | None
    others: float | None
    stolen: float | None
    governor: str | None
    disturbers: tuple[str, ...] = ()

    @classmethod
    def between(
        cls, before: HostState, after: HostState, seconds: float, earlier: ProcessTimes | None = None
    ) -> HostActivity:
        """The activity from `before` to `after`, which lie `seconds` apart.

        Given the times of all processes `earlier`, they are read again to name those that used the CPUs.
        """
        others = stolen = None
        if before.busy is not None and after.busy is not None and seconds > 0:
            others = max((after.busy - before.busy - (after.own - before.own)) / seconds, 0.0)
        if before.stolen is not None and after.stolen is not None and seconds > 0:
            stolen = max((after.stolen - before.stolen) / seconds, 0.0)
        disturbers = () if earlier is None else ProcessTimes.now().disturbers(earlier, others)
        return cls(seconds, before.load, after.load, others, stolen, after.governor, disturbers)

    def disturbances(self, cpus: int) -> tuple[str, ...]:
        """What makes a measurement on a CPU say nothing about the engine; empty for a quiet host.

        On a quiet two-core machine others use up to 0.1 CPUs; with one busy neighbour they use 1, and latencies double.
        Nothing where the user accepts a busy host.
        """
        return () if busy_host.is_accepted() else self.busy(cpus)

    def busy(self, cpus: int) -> tuple[str, ...]:
        """The same, whether it is accepted or not."""
        reasons = []
        if self.others is not None and self.others > _BUSY_SHARE * cpus:
            named = f" ({', '.join(self.disturbers)})" if self.disturbers else ""
            reasons.append(f"{busy_host.OTHERS} {self.others:.1f} of the {cpus} CPUs{named}")
        if self.stolen is not None and self.stolen > _STOLEN_SHARE * cpus:
            reasons.append(f"{busy_host.HYPERVISOR} {self.stolen:.1f} of the {cpus} CPUs away")
        return tuple(reasons)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HostActivity:
        """The inverse of `as_dict`, also of files that name no `disturbers`; other keys are ignored."""
        stated = {each.name: values[each.name] for each in fields(cls) if each.name in values}
        return cls(**{**stated, "disturbers": tuple(values.get("disturbers", ()))})


def cpu_model() -> str:
    """The CPU's name as the system gives it, without clock speed or trademark signs."""
    name = ""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(errors="replace")
        match = re.search(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+)$", text, re.MULTILINE)
        name = match[1] if match else ""
    name = name or platform.processor() or platform.machine() or "unknown CPU"
    name = re.sub(r"@.*$|\((R|TM|r|tm)\)|\bCPU\b|\bProcessor\b", " ", name)
    return " ".join(name.split())


def usable_cpus() -> int:
    """How many CPUs this process may run on (affinity counted, unlike os.cpu_count)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def governor() -> str | None:
    """The frequency governor of the first CPU (`performance`, `powersave`, …), None where there is none to see."""
    with contextlib.suppress(OSError):
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip() or None
    return None


def _own_time() -> float:
    """CPU seconds of this process, of its ended children, and of those that still run (a backend's worker)."""
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            spent = child.cpu_times()
            own += spent.user + spent.system
    return own


def _cpu_times() -> tuple[float | None, float | None]:
    """(busy, stolen) seconds of all CPUs since boot, from the first line of /proc/stat."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        tick = os.sysconf("SC_CLK_TCK")
        user, nice, system, _, _, irq, softirq, steal = fields[:8]
        return (user + nice + system + irq + softirq) / tick, steal / tick
    return None, None


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
        self._at_start = self._process.memory_info().rss
        self._children = {child.pid for child in self._process.children(recursive=True)}

    def peak(self) -> int:
        """Bytes above the start; never negative."""
        total = (_mark(self._process) or self._process.memory_info().rss) - self._at_start
        for child in self._process.children(recursive=True):
            if child.pid not in self._children:
                with contextlib.suppress(psutil.Error):
                    total += _mark(child) or child.memory_info().rss
        return max(total, 0)


def _mark(process: psutil.Process) -> int | None:
    """VmHWM of a process in bytes, None where the system does not tell."""
    with contextlib.suppress(OSError):
        match = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
        return int(match[1]) * 1024 if match else None
    return None
