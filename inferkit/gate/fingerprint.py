"""What hardware and software a latency belongs to, in buckets: never hostnames, measured clocks or serial numbers.

Too fine a fingerprint splits the history for nothing (a boot-time clock in it changes with every boot), too coarse a
one compares an H100 with another card. So: model names, counts, limits and versions that are set, not measured.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from inferkit.measure.machine.host import cpu_model, usable_cpus

_MOST_CHARACTERS = 80


@dataclass(frozen=True)
class Fingerprint:
    """Named buckets, in a fixed order. Two latencies are comparable when all buckets are equal."""

    fields: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, fields: Mapping[str, object]) -> Fingerprint:
        """From a mapping; values become text, absent ones (None) are left out."""
        return cls(tuple((name, str(value)) for name, value in fields.items() if value is not None))

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return dict(self.fields)

    @property
    def slug(self) -> str:
        """A file name: what a reader wants to see of it, and eight digits of all of it."""
        own = self.as_dict()
        parts = [own.get("gpu"), own.get("cpu") if "gpu" not in own else None]
        parts += [
            f"{own['cpus']}cpu" if "cpus" in own else None,
            own.get("backend"),
            own.get("version"),
        ]
        words = "-".join(re.sub(r"[^a-z0-9.]+", "-", part.lower()).strip("-.") for part in parts if part)
        canonical = json.dumps(sorted(self.fields)).encode()
        return f"{words[:_MOST_CHARACTERS].rstrip('-.')}-{hashlib.sha256(canonical).hexdigest()[:8]}"

    def changes(self, head: Fingerprint) -> list[tuple[str, str, str]]:
        """Each bucket that differs with its values of this one and of `head`, `none` where it has none."""
        own, others = self.as_dict(), head.as_dict()
        return [
            (name, own.get(name, "none"), others.get(name, "none"))
            for name in dict.fromkeys([*others, *own])
            if own.get(name) != others.get(name)
        ]

    def differences(self, head: Fingerprint, words: tuple[str, str] = ("base", "head")) -> list[str]:
        """Each bucket that differs, as `name: base 1.30, head 1.31`, this one being base; empty where equal."""
        return [f"{name}: {words[0]} {mine}, {words[1]} {other}" for name, mine, other in self.changes(head)]


def fingerprint(
    backend: str,
    version: str,
    *,
    flavour: str | None = None,
    threads: int | None = None,
    device: Mapping[str, object] | None = None,
) -> Fingerprint:
    """The fingerprint of a backend on this machine.

    `threads` is how many threads compute (None: not known). `device` holds a GPU's buckets
    (name and memory, power limit, ECC, MIG, driver, CUDA), empty for the CPU.
    """
    return Fingerprint.of(
        {
            **(device or {}),
            "cpu": cpu_model(),
            "cpus": usable_cpus(),
            "threads": threads,
            "system": platform.system(),
            "machine": platform.machine(),
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "backend": flavour or backend,
            "version": version or "unknown",
        }
    )
