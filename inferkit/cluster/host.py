"""What a machine looks like to whoever places work on it: its CPU sockets, and on which of them a GPU sits."""

from __future__ import annotations

import os
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_PCI = Path("/sys/bus/pci/devices")


def machine_id() -> str:
    """The same for every process of a machine, another for every machine: the kernel's boot id, else the host name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import socket

        return socket.gethostname()


def sockets(cpus: Path = _CPUS) -> dict[str, tuple[int, ...]]:
    """The CPUs that this process may use, by the socket they are in; one socket where the system does not tell."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    found: dict[str, list[int]] = {}
    for cpu in usable:
        try:
            name = (cpus / f"cpu{cpu}" / "topology" / "physical_package_id").read_text().strip()
        except OSError:
            name = "0"
        found.setdefault(name, []).append(cpu)
    return {name: tuple(members) for name, members in found.items()}


def socket_of_gpu(bus_id: str, pci: Path = _PCI, cpus: Path = _CPUS) -> str | None:
    """The socket that a GPU's PCI address (`00000000:01:00.0`) belongs to; None where the system does not tell."""
    domain, _, rest = bus_id.lower().partition(":")
    try:
        local = (pci / f"{domain[-4:]}:{rest}" / "local_cpulist").read_text().strip()
        first = int(local.replace("-", ",").split(",")[0])
        return (cpus / f"cpu{first}" / "topology" / "physical_package_id").read_text().strip()
    except (OSError, ValueError):
        return None
