"""A pytest-benchmark JSON as the gate sees it: cases with their replicates, from our own files or from anyone's.

A file that inferkit wrote has an `inferkit` key: log-medians of each replicate, fingerprints, accuracies. From any
other, a benchmark's median over all rounds is the one datum of its case: how many processes it came from, and how much
they differ, the file does not say.
"""

from __future__ import annotations

import base64
import binascii
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inferkit.gate.files.checked_json import Place, read_json
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.outcome import Outcome

SCHEMA = 1
NO_COMMIT = ("unversioned", "unknown")  # what pytest-benchmark writes where there is no repository

_FIGURES = (
    "baseline",
    "now",
    "change",
    "lower",
    "upper",
    "margin",
    "mde",
    "replicates",
    "baseline_replicates",
    "machine",
)
_FASTEST, _SLOWEST = 1e-9, 86_400.0  # seconds that a batch can take


@dataclass(frozen=True)
class RunCase:
    """A latency case of a file. `replicates_known` is False where the one datum hides how many processes there were."""

    log_medians: tuple[float, ...]
    fingerprint: str
    margin: float | None = None
    replicates_known: bool = True
    facts: Mapping[str, object] = field(default_factory=dict)
    builds: tuple[int, ...] = ()


@dataclass(frozen=True)
class RunReference:
    """The reference network's log-medians on one kind of machine; `name` is its version."""

    name: str
    log_medians: tuple[float, ...]
    margin: float | None = None


@dataclass(frozen=True, eq=False)
class RunAccuracy:
    """An accuracy case of a file; `right` tells for each image whether its label scored best."""

    top1: float
    top5: float
    images: int
    dataset: str
    fingerprint: str
    tolerance: float | None
    right: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RunFile:
    """What a file holds. `ours` is False for files that inferkit did not write; `declared` and `references` are by
    fingerprint slug, `failures` are the reasons of cases that could not be measured.

    `record` is the whole `inferkit` key, unchecked: for showing, never for a verdict.
    """

    name: str
    ours: bool
    fingerprints: Mapping[str, Fingerprint]
    cases: Mapping[str, RunCase]
    accuracy: Mapping[str, RunAccuracy] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    declared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    narrowed: bool = False
    smoke: bool = False
    commit: str = ""
    date: str = ""
    project: str = ""
    branch: str = ""
    dirty: bool = False
    references: Mapping[str, RunReference] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, object] = field(default_factory=dict)


def read_run(path: str | os.PathLike[str], *, foreign: bool = False) -> RunFile:
    """Read and check a benchmark JSON; `foreign` looks at what any such file has, also in one of ours.

    BaselineError for a file that is damaged, newer, or no benchmark JSON.
    """
    return run_of(read_json(path), foreign=foreign)


def run_of(top: Place, *, foreign: bool = False) -> RunFile:
    """As `read_run`, of a JSON object that is at hand (checked_json.parse_json)."""
    if "benchmarks" not in top.values or "machine_info" not in top.values:
        raise top.fail("is no pytest-benchmark JSON: it has no benchmarks or no machine_info")
    if "inferkit" in top.values and not foreign:
        return _ours(top, top.place("inferkit"))
    return _foreign(top)


def _ours(top: Place, place: Place) -> RunFile:
    schema = place.values.get("schema")
    if type(schema) is not int or schema < 1:
        raise place.fail(f"is damaged: the schema is {schema!r}", "schema")
    if schema > SCHEMA:
        raise place.fail(f"was written by a newer inferkit (schema {schema}); this one reads up to {SCHEMA}", "schema")
    fingerprints = {
        slug: Fingerprint.of({name: buckets.text(name) for name in buckets.values})
        for slug, buckets in place.place("fingerprints").places().items()
    }
    cases = {name: _case(case, fingerprints) for name, case in place.place("cases").places().items()}
    declared = place.place("declared")
    return RunFile(
        top.file,
        True,
        fingerprints,
        cases,
        {name: _accuracy(found) for name, found in place.place("accuracy").places().items()},
        _outcomes(place),
        {slug: _texts(declared, slug) for slug in declared.values},
        bool(place.values.get("narrowed")),
        bool(place.values.get("smoke")),
        *_origin(top),
        references={slug: _reference(found) for slug, found in place.place("references").places().items()},
        failures=_reasons(place.values.get("failures")),
        record=place.values,
    )


def _case(place: Place, fingerprints: Mapping[str, Fingerprint]) -> RunCase:
    logs = place.numbers("log_medians", above=math.log(_FASTEST), most=math.log(_SLOWEST))
    if not logs:
        raise place.fail("holds no replicate", "log_medians")
    slug = place.text("fingerprint")
    if slug not in fingerprints:
        raise place.fail(f"names the fingerprint {slug!r}, which the file does not have", "fingerprint")
    for key in ("build_seconds", "cold_start"):
        place.numbers(key, above=-1e-9)
    for key in ("log_p99", "log_execution"):
        place.numbers(key, above=math.log(_FASTEST), most=math.log(_SLOWEST))
    place.numbers("memories", above=-1)
    for key in ("memory", "device_memory", "engine_bytes"):
        place.optional(key, above=-1)
    builds = tuple(int(number) for number in place.numbers("builds", above=-1, most=1e6))
    if builds and len(builds) != len(logs):
        raise place.fail(f"has {len(builds)} entries for {len(logs)} replicates", "builds")
    return RunCase(logs, slug, place.optional("margin", above=0), facts=place.values, builds=builds)


def _reference(place: Place) -> RunReference:
    logs = place.numbers("log_medians", above=math.log(_FASTEST), most=math.log(_SLOWEST))
    if not logs:
        raise place.fail("holds no replicate", "log_medians")
    return RunReference(place.text("name"), logs, place.optional("margin", above=0))


def _accuracy(place: Place) -> RunAccuracy:
    images = int(place.number("images", above=0, most=1e9))
    try:
        packed = np.frombuffer(base64.b64decode(place.text("top1_bits"), validate=True), np.uint8)
    except (binascii.Error, ValueError) as error:
        raise place.fail(f"is damaged: {error}", "top1_bits") from error
    if len(packed) != (images + 7) // 8:
        raise place.fail(f"has {len(packed)} bytes, which is not one bit for each of {images} images", "top1_bits")
    right = np.unpackbits(packed, count=images).astype(bool)
    top1 = place.number("top1", above=-1e-9, most=100)
    if abs(100 * float(right.mean()) - top1) > 1e-6:
        raise place.fail(f"{top1} does not fit the bits of the images", "top1")
    return RunAccuracy(
        top1,
        place.number("top5", above=-1e-9, most=100),
        images,
        place.text("dataset"),
        place.text("fingerprint"),
        place.optional("tolerance", above=0),
        right,
    )


def _outcomes(place: Place) -> tuple[Outcome, ...]:
    values = place.values.get("outcomes", [])
    try:
        for value in values:
            known = Place(value, place.file, "inferkit/outcomes")
            known.text("case")
            known.text("metric")
            for key in _FIGURES:
                known.optional(key)
        return tuple(Outcome.from_dict(value) for value in values)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise place.fail(f"is damaged: {error}", "outcomes") from error


def _texts(place: Place, key: str) -> tuple[str, ...]:
    value = place.values[key]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise place.fail("must be a list of texts", key)
    return tuple(value)


def _reasons(told: object) -> dict[str, str]:
    """Reasons by case, empty where one is no text: they are words to be shown, and no figure rests on them."""
    found = told if isinstance(told, dict) else {}
    return {name: text if isinstance(text, str) else "" for name, text in found.items()}


def _origin(top: Place) -> tuple[str, str, str, str, bool]:
    """Commit, date, project, branch, and whether there were changes that no commit has."""
    told = top.place("commit_info").values
    date = top.values.get("datetime")
    commit, project, branch = (str(told.get(key) or "") for key in ("id", "project", "branch"))
    return commit, str(date or ""), project, branch, told.get("dirty") is True


def _foreign(top: Place) -> RunFile:
    """The benchmarks of a file that inferkit did not write, under pytest-benchmark's own full names."""
    fingerprint = _machine(top.place("machine_info"))
    benchmarks = top.values["benchmarks"]
    if not isinstance(benchmarks, list):
        raise top.fail("must be a list", "benchmarks")
    cases: dict[str, RunCase] = {}
    for number, value in enumerate(benchmarks):
        if not isinstance(value, dict):
            raise top.fail("must be an object", f"benchmarks/{number}")
        place = Place(value, top.file, f"benchmarks/{number}")
        name = place.text("fullname")
        if name in cases:
            raise place.fail(f"{name!r} stands there twice", "fullname")
        median = place.place("stats").number("median", above=_FASTEST, most=_SLOWEST)
        cases[name] = RunCase((math.log(median),), fingerprint.slug, replicates_known=False)
    commit, date, project, branch, dirty = _origin(top)
    return RunFile(
        top.file,
        False,
        {fingerprint.slug: fingerprint},
        cases,
        commit=commit,
        date=date,
        project=project,
        branch=branch,
        dirty=dirty,
    )


def _machine(info: Place) -> Fingerprint:
    """What pytest-benchmark tells of a machine, in buckets: its measured clock and its host name are left out."""
    cpu = info.values.get("cpu")
    cpu = cpu if isinstance(cpu, dict) else {}
    version = info.values.get("python_version")
    return Fingerprint.of(
        {
            "cpu": cpu.get("brand_raw") or cpu.get("brand") or info.values.get("processor") or None,
            "cpus": cpu.get("count"),
            "system": info.values.get("system"),
            "machine": info.values.get("machine"),
            "implementation": info.values.get("python_implementation"),
            "python": ".".join(version.split(".")[:2]) if isinstance(version, str) else None,
        }
    )
