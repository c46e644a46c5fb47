"""The baseline of one fingerprint: a JSON file that is reviewed like code, checked whole when read, written whole.

{"schema": 1, "fingerprint": {…}, "origin": {…},
 "cases": {"lenet-fp32-b1-onnxruntime": {"log_medians": [-9.87, …], "memory": 1234, …}},
 "accuracy": {"lenet-fp32-onnxruntime": {"top1": 91.03, "top5": 99.8, "images": 10000}}}
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inferkit.errors import BaselineError
from inferkit.files import write_atomically
from inferkit.gate.files.checked_json import Place, read_json
from inferkit.gate.fingerprint import Fingerprint

SCHEMA = 1

# Times that a batch can take: a nanosecond to a day.
_FASTEST, _SLOWEST = math.log(1e-9), math.log(86_400)
_CASE_KEYS = (
    "log_medians",
    "log_p99",
    "log_execution",
    "memory",
    "memories",
    "device_memory",
    "engine_bytes",
    "build_seconds",
    "cold_start",
    "accepted",
    "builds",
    "network",
)


@dataclass(frozen=True)
class CaseBaseline:
    """What is kept of one latency case: log-medians of each replicate; memory and size in bytes, times in seconds.

    `log_p99`, `memories` and `log_execution` are of each replicate too. `accepted` is the reason that someone gave for
    accepting a regression. `builds` numbers the engine of each replicate, where there were several; `network` begins
    the digest of the network, for engines that are files.
    """

    log_medians: tuple[float, ...]
    memory: int | None = None
    device_memory: int | None = None
    engine_bytes: int | None = None
    build_seconds: tuple[float, ...] = ()
    cold_start: tuple[float, ...] = ()
    accepted: str | None = None
    log_p99: tuple[float, ...] = ()
    memories: tuple[int, ...] = ()
    builds: tuple[int, ...] = ()
    network: str | None = None
    log_execution: tuple[float, ...] = ()


@dataclass(frozen=True)
class ReferenceBaseline:
    """The log-medians of the reference network, measured with the cases; `name` is its version."""

    name: str
    log_medians: tuple[float, ...]


@dataclass(frozen=True)
class AccuracyBaseline:
    """What is kept of one accuracy case, in percent. `accepted` is the reason given for accepting a regression."""

    top1: float
    top5: float
    images: int
    accepted: str | None = None


@dataclass(frozen=True)
class Baseline:
    """The latencies and accuracies that belong to one fingerprint. `origin` says where they came from, in text.

    `reference` is None in a baseline of a run without one.
    """

    fingerprint: Fingerprint
    cases: Mapping[str, CaseBaseline] = field(default_factory=dict)
    accuracy: Mapping[str, AccuracyBaseline] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    reference: ReferenceBaseline | None = None

    def as_bytes(self) -> bytes:
        """The file's content: sorted and indented, so that a review shows what changed and nothing else."""
        content = {
            "schema": SCHEMA,
            "fingerprint": self.fingerprint.as_dict(),
            "origin": dict(self.origin),
            **({} if self.reference is None else {"reference": _sparse(self.reference.__dict__)}),
            "cases": {name: _sparse(case.__dict__) for name, case in sorted(self.cases.items())},
            "accuracy": {name: _sparse(case.__dict__) for name, case in sorted(self.accuracy.items())},
        }
        return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _sparse(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value not in (None, ())
    }


def read_baseline(path: str | os.PathLike[str]) -> Baseline:
    """Read and check a baseline. BaselineError for a damaged, edited or newer file, with the place; never a guess."""
    top = read_json(path)
    schema = top.values.get("schema")
    if type(schema) is not int or schema < 1:
        raise top.fail(f"is no baseline: its schema is {schema!r}", "schema")
    if schema > SCHEMA:
        raise top.fail(f"was written by a newer inferkit (schema {schema}); this one reads up to {SCHEMA}", "schema")
    top.only(("schema", "fingerprint", "origin", "reference", "cases", "accuracy"))
    buckets = top.place("fingerprint")
    if not buckets.values:
        raise top.fail("names no hardware", "fingerprint")
    origin = top.place("origin")
    return Baseline(
        Fingerprint.of({name: buckets.text(name) for name in buckets.values}),
        {name: _case(place) for name, place in top.place("cases").places().items()},
        {name: _accuracy(place) for name, place in top.place("accuracy").places().items()},
        {name: origin.text(name) for name in origin.values},
        _reference(top.place("reference")) if "reference" in top.values else None,
    )


def _reference(place: Place) -> ReferenceBaseline:
    place.only(("name", "log_medians"))
    log_medians = place.numbers("log_medians", above=_FASTEST, most=_SLOWEST)
    if not log_medians:
        raise place.fail("holds no replicate", "log_medians")
    return ReferenceBaseline(place.text("name"), log_medians)


def _case(place: Place) -> CaseBaseline:
    place.only(_CASE_KEYS)
    log_medians = place.numbers("log_medians", above=_FASTEST, most=_SLOWEST)
    if not log_medians:
        raise place.fail("holds no replicate", "log_medians")
    return CaseBaseline(
        log_medians,
        _bytes(place, "memory"),
        _bytes(place, "device_memory"),
        _bytes(place, "engine_bytes"),
        place.numbers("build_seconds", above=-1e-9),
        place.numbers("cold_start", above=-1e-9),
        place.text("accepted") if "accepted" in place.values else None,
        place.numbers("log_p99", above=_FASTEST, most=_SLOWEST),
        tuple(int(value) for value in place.numbers("memories", above=-1)),
        _builds(place, len(log_medians)),
        place.text("network") if "network" in place.values else None,
        place.numbers("log_execution", above=_FASTEST, most=_SLOWEST),
    )


def _builds(place: Place, replicates: int) -> tuple[int, ...]:
    numbers = place.numbers("builds", above=-1, most=1e6)
    if numbers and len(numbers) != replicates:
        raise place.fail(f"has {len(numbers)} entries for {replicates} replicates", "builds")
    return tuple(int(number) for number in numbers)


def _bytes(place: Place, key: str) -> int | None:
    value = place.optional(key, above=-1)
    if value is not None and value != int(value):
        raise place.fail(f"must be whole bytes, not {value!r}", key)
    return None if value is None else int(value)


def _accuracy(place: Place) -> AccuracyBaseline:
    place.only(("top1", "top5", "images", "accepted"))
    images = place.number("images", above=0)
    if images != int(images):
        raise place.fail(f"must be a whole number, not {images!r}", "images")
    return AccuracyBaseline(
        place.number("top1", above=-1e-9, most=100),
        place.number("top5", above=-1e-9, most=100),
        int(images),
        place.text("accepted") if "accepted" in place.values else None,
    )


class BaselineStore:
    """The folder of baselines: one file per fingerprint, named by its slug."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def path(self, fingerprint: Fingerprint) -> Path:
        """Where the baseline of this fingerprint is, or would be."""
        return self.folder / f"{fingerprint.slug}.json"

    def files(self) -> list[Path]:
        """Every baseline file there is, by name; none where there is no folder."""
        return sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []

    def find(self, fingerprint: Fingerprint) -> Baseline | None:
        """The baseline of exactly this fingerprint, None where there is none. BaselineError where it is damaged."""
        path = self.path(fingerprint)
        if not path.exists():
            return None
        baseline = read_baseline(path)
        differences = baseline.fingerprint.differences(fingerprint)
        if differences:
            raise BaselineError(f"{path}: its fingerprint does not fit its name ({'; '.join(differences)})")
        return baseline

    def absence(self, fingerprint: Fingerprint) -> str:
        """Why there is no baseline: none at all, or the nearest one of this backend and what differs.

        Damaged files are passed over.
        """
        nearest: tuple[int, str] | None = None
        for path in self.files():
            try:
                other = read_baseline(path).fingerprint
            except BaselineError:
                continue
            if other.as_dict().get("backend") != fingerprint.as_dict().get("backend"):
                continue  # a GPU's engines say nothing of how near a CPU is
            differences = fingerprint.differences(other)
            if nearest is None or len(differences) < nearest[0]:
                nearest = len(differences), f"the nearest, {path.name}, differs in {'; '.join(differences)}"
        here = os.path.relpath(self.folder)
        place = f"{self.folder if here.startswith('..') else here}{os.sep}"
        return f"no baseline of this machine in {place}" + (f": {nearest[1]}" if nearest else "")

    def write(self, baseline: Baseline) -> Path:
        """Write the file of the baseline's fingerprint, whole or not at all."""
        path = self.path(baseline.fingerprint)
        try:
            write_atomically(path, baseline.as_bytes())
        except OSError as error:
            raise BaselineError(f"{path}: cannot be written: {error.strerror or error}") from error
        return path
