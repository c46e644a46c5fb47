"""What a CPU backend needs to know of the CPU: the physical cores that are ours to use, and its instructions."""

from __future__ import annotations

import contextlib
import os
from functools import lru_cache
from pathlib import Path


def usable_cores() -> int:
    """Physical cores among the CPUs of this process's affinity, at most what the container's quota allows; ≥ 1.

    A second hyperthread on a core adds nothing to matrix products and much to noise, so it is not counted.
    """
    try:
        cpus = sorted(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return max(1, os.cpu_count() or 1)
    cores = {_siblings(cpu) for cpu in cpus}
    quota = cpu_quota()
    return max(1, len(cores) if quota is None else min(len(cores), int(quota)))


def cpu_quota() -> float | None:
    """How many CPUs' worth of time the container gets (cgroup v2 or v1), None where nothing limits it."""
    for folder, names in (
        ("/sys/fs/cgroup", ("cpu.max",)),
        ("/sys/fs/cgroup/cpu", ("cpu.cfs_quota_us", "cpu.cfs_period_us")),
    ):
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            words = " ".join(Path(folder, name).read_text(encoding="ascii") for name in names).split()
            quota, period = (float(word) for word in words)  # "max" is no number: there is no limit
            return quota / period if quota > 0 else None
    return None


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """The instruction sets of the CPU as Linux names them (`avx2`, `avx512_vnni`, …); empty where it does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return frozenset(line.partition(":")[2].split())


def _siblings(cpu: int) -> str:
    """What the hyperthreads of one core have in common; the CPU itself where the system does not tell."""
    try:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        return topology.read_text(encoding="ascii").strip()
    except OSError:
        return str(cpu)
