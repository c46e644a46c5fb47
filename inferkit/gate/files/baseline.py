"""The baseline of one fingerprint: a JSON file that is reviewed like code, checked whole when read, written whole.

{"schema": 1, "fingerprint": {…}, "origin": {…},
 "cases": {"lenet-fp32-b1-onnxruntime": {"log_medians": [-9.87, …], "memories": [1234, …], …}},
 "accuracy": {"lenet-fp32-onnxruntime": {"top1": 91.03, "top5": 99.8, "images": 10000}}}
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inferkit.errors import BaselineError
from inferkit.files import write_atomically
from inferkit.gate.files.checked_json import Place, read_json
from inferkit.gate.files.data import read_builds, read_data, read_files, read_reference, written
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.metrics import of_replicates
from inferkit.gate.run import AccuracyRun, CaseRun, Measured, Origin, Run

SCHEMA = 1

# How the file calls the parts of an Origin.
_ORIGIN = {"run": "source", "commit": "commit", "date": "date", "inferkit": "version"}
_DIRTY = "dirty"  # the key that is there where no commit has all of what was measured
# What the file has of a case beside its data, and of an accuracy; of what is not known it says nothing.
_CASE = ("accepted", "builds", "network", "settings", "files")
_ACCURACY = ("top1", "top5", "images", "accepted")


def baseline_bytes(run: Run) -> bytes:
    """The file of a run of one fingerprint: sorted and indented, so that a review shows what changed."""
    ((slug, fingerprint),) = run.fingerprints.items()
    references = {"reference": run.references.get(slug), "memory_reference": run.memory_references.get(slug)}
    content = {
        "schema": SCHEMA,
        "fingerprint": fingerprint.as_dict(),
        "origin": origin_of(run),
        **{key: {"name": each.case, **written(each)} for key, each in references.items() if each is not None},
        "cases": {name: {**written(case), **_facts(case, _CASE)} for name, case in sorted(run.cases.items())},
        "accuracy": {name: _facts(case, _ACCURACY) for name, case in sorted(run.accuracy.items())},
    }
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def origin_of(run: Run) -> dict[str, str]:
    """Where a baseline came from, as its file has it."""
    origin = {key: getattr(run.origin, name) for key, name in _ORIGIN.items()}
    origin |= {_DIRTY: "true"} if run.origin.dirty else {}
    return {key: value for key, value in origin.items() if value}


def _facts(case: Measured, keys: Sequence[str]) -> dict[str, Any]:
    facts = {key: getattr(case, key) for key in keys}
    return {key: value for key, value in facts.items() if value not in (None, (), {})}


def read_baseline(path: str | os.PathLike[str]) -> Run:
    """Read and check a baseline. BaselineError for a damaged, edited or newer file, with the place; never a guess."""
    return baseline_of(read_json(path))


def baseline_of(top: Place) -> Run:
    """As `read_baseline`, of a JSON object that is at hand (checked_json.parse_json)."""
    top.schema(SCHEMA, "is no baseline")
    top.only(("schema", "fingerprint", "origin", "reference", "memory_reference", "cases", "accuracy"))
    buckets = top.place("fingerprint")
    if not buckets.values:
        raise top.fail("names no hardware", "fingerprint")
    fingerprint = Fingerprint.of(buckets.texts())
    origin = top.place("origin").texts()
    slug = fingerprint.slug
    return Run(
        name=top.file,
        fingerprints={slug: fingerprint},
        cases={name: _case(name, place, slug) for name, place in top.place("cases").places().items()},
        accuracy={name: _accuracy(name, place, slug) for name, place in top.place("accuracy").places().items()},
        references=_reference(top, "reference", slug),
        memory_references=_reference(top, "memory_reference", slug),
        origin=Origin(
            **{name: origin.get(key, "") for key, name in _ORIGIN.items()},  # type: ignore[arg-type]
            dirty=_DIRTY in origin,
        ),
    )


def _reference(top: Place, key: str, slug: str) -> dict[str, CaseRun]:
    if key not in top.values:
        return {}
    place = top.place(key)
    place.only(("name", "log_medians"))
    return {slug: read_reference(place, slug)}


def _case(name: str, place: Place, slug: str) -> CaseRun:
    # `memory`: the largest of `memories`, as earlier versions wrote it.
    place.only((*(metric.datum for metric in of_replicates()), "memory", *_CASE))
    place.optional("memory", above=-1)
    data = read_data(place)
    return CaseRun(
        case=name,
        fingerprint=slug,
        data=data,
        accepted=place.optional_text("accepted"),
        builds=read_builds(place, len(data["log_medians"])),
        network=place.optional_text("network"),
        settings=place.optional_text("settings"),
        files=read_files(place),
    )


def _accuracy(name: str, place: Place, slug: str) -> AccuracyRun:
    place.only(_ACCURACY)
    images = place.number("images", above=0)
    if images != int(images):
        raise place.fail(f"must be a whole number, not {images!r}", "images")
    return AccuracyRun(
        case=name,
        fingerprint=slug,
        accepted=place.optional_text("accepted"),
        top1=place.number("top1", above=-1e-9, most=100),
        top5=place.number("top5", above=-1e-9, most=100),
        images=int(images),
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

    def find(self, fingerprint: Fingerprint) -> Run | None:
        """The baseline of exactly this fingerprint, None where there is none. BaselineError where it is damaged."""
        path = self.path(fingerprint)
        if not path.exists():
            return None
        baseline = read_baseline(path)
        (stored,) = baseline.fingerprints.values()
        differences = stored.differences(fingerprint)
        if differences:
            raise BaselineError(f"{path}: its fingerprint does not fit its name ({'; '.join(differences)})")
        return baseline

    def others(self, fingerprint: Fingerprint) -> list[Run]:
        """The baselines of this backend on other machines, those that differ in the fewest buckets first.

        Damaged files are passed over.
        """
        found = []
        for path in self.files():
            try:
                baseline = read_baseline(path)
            except BaselineError:
                continue
            (other,) = baseline.fingerprints.values()
            # A GPU's engines say nothing of how near a CPU is.
            if other != fingerprint and other.as_dict().get("backend") == fingerprint.as_dict().get("backend"):
                found.append((len(other.changes(fingerprint)), baseline))
        return [baseline for _, baseline in sorted(found, key=lambda each: each[0])]

    def absence(self, fingerprint: Fingerprint) -> str:
        """Why there is no baseline: none at all, or the nearest one of this backend and what differs."""
        text = f"no baseline of this machine in {self._place}"
        for nearest in self.others(fingerprint)[:1]:
            (other,) = nearest.fingerprints.values()
            differences = "; ".join(other.differences(fingerprint))
            text += f": the nearest, {Path(nearest.name).name}, differs in {differences}"
        return text

    @property
    def _place(self) -> str:
        """The folder, as short as it can be written."""
        relative = os.path.relpath(self.folder)
        return f"{self.folder if relative.startswith('..') else relative}{os.sep}"

    def write(self, baseline: Run) -> Path:
        """Write the file of the baseline's fingerprint, whole or not at all."""
        ((_, fingerprint),) = baseline.fingerprints.items()
        path = self.path(fingerprint)
        try:
            write_atomically(path, baseline_bytes(baseline))
        except OSError as error:
            raise BaselineError(f"{path}: cannot be written: {error.strerror or error}") from error
        return path
