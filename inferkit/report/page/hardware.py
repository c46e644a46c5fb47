"""What was compared, and on which hardware and software: the few facts at the top of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from inferkit.gate.files.run_file import NO_COMMIT
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.run import Run

_NAMES = {
    "gpu": "GPU",
    "gpu_memory_gib": "GPU memory, GiB",
    "power_limit_watts": "power limit, W",
    "ecc": "ECC",
    "mig": "MIG",
    "driver": "driver",
    "cuda": "CUDA",
    "cpu": "CPU",
    "cpus": "usable CPUs",
    "threads": "threads",
    "system": "system",
    "machine": "machine",
    "python": "Python",
    "backend": "backend",
    "version": "version",
}
_WORDS = {"True": "on", "False": "off"}
_SWITCHES = ("ecc", "mig")


@dataclass(frozen=True)
class ShownOrigin:
    """Where a file's figures came from; texts are plain and must be escaped."""

    file: str
    commit: str
    date: str


@dataclass(frozen=True)
class Machine:
    """A fingerprint for reading: one line, and every bucket. `cases` says how many cases were measured on it."""

    line: str
    fields: tuple[tuple[str, str], ...]
    cases: int


def origin_of(run: Run) -> ShownOrigin:
    """The file, its commit with the branch, and its date."""
    known = run.origin
    commit = known.commit[:12] if known.commit not in NO_COMMIT else ""
    if commit:
        commit += f" on {known.branch}" if known.branch else ""
        commit += " (with uncommitted changes)" if known.dirty else ""
    name = PurePosixPath(run.name.replace("\\", "/")).name
    return ShownOrigin(name, commit or "no commit", known.date[:16].replace("T", " ") or "no date")


def machines_of(run: Run) -> tuple[Machine, ...]:
    """Every kind of machine that a run's cases were measured on."""
    slugs = [case.fingerprint for case in run.cases.values()] + [case.fingerprint for case in run.accuracy.values()]
    return tuple(
        Machine(machine_line(fingerprint), _fields(fingerprint), slugs.count(slug))
        for slug, fingerprint in run.fingerprints.items()
    )


def machine_line(fingerprint: Fingerprint) -> str:
    """The card or the processor, the software, in one line."""
    told = fingerprint.as_dict()
    parts: list[str] = []
    if "gpu" in told:
        parts += [told["gpu"], *_worded(told, "driver", "driver {}"), *_worded(told, "power_limit_watts", "{} W")]
    else:
        parts += _worded(told, "cpu", "{}")
        parts += _worded(told, "cpus", "{} CPUs")
    version = told.get("version", "")
    # A flavour's version brings its own name: `tensorrt_rtx 1.4.0.76`.
    software = version if version[:1].isalpha() and " " in version else f"{told.get('backend', '')} {version}".strip()
    parts += [software] if software else _worded(told, "python", "Python {}")
    return ", ".join(parts) or "not known"


def differing(base: Sequence[Run], head: Sequence[Run]) -> tuple[str, ...]:
    """What differs between the machines of base and head, where each has one; none where they are equal."""
    of_base, of_head = ([*dict.fromkeys(f for run in runs for f in run.fingerprints.values())] for runs in (base, head))
    if len(of_base) != 1 or len(of_head) != 1:
        return ()
    return tuple(of_base[0].differences(of_head[0]))


def _worded(told: Mapping[str, str], name: str, words: str) -> list[str]:
    return [words.format(_shown(name, told[name]))] if name in told else []


def _shown(name: str, value: str) -> str:
    if name == "power_limit_watts":
        return value.removesuffix(".0")
    return _WORDS.get(value, value) if name in _SWITCHES else value


def _fields(fingerprint: Fingerprint) -> tuple[tuple[str, str], ...]:
    return tuple((_NAMES.get(name, name), _shown(name, value)) for name, value in fingerprint.fields)
