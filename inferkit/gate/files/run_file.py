"""A pytest-benchmark JSON as a Run: cases with their replicates, from our own files or from anyone's.

A file that inferkit wrote has an `inferkit` key: the data of each replicate, fingerprints, accuracies. From any other,
a benchmark's median over all rounds is the one datum of its case: how many processes it came from, and how much they
differ, the file does not say.
"""

from __future__ import annotations

import base64
import binascii
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inferkit.backends.precision_share import others_from
from inferkit.errors import BaselineError
from inferkit.gate.files.checked_json import Damaged, Place, read_json
from inferkit.gate.files.data import (
    FASTEST,
    SLOWEST,
    read_builds,
    read_data,
    read_files,
    read_kept_outputs,
    read_margins,
    read_reference,
)
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.metrics import SHOW, main_metric
from inferkit.gate.outcome import Outcome, Verdict, failed
from inferkit.gate.run import AccuracyRun, CaseRun, Origin, Run
from inferkit.measure.layers.table import readable_table

PathLike = str | os.PathLike[str]
SCHEMA = 2
NO_COMMIT = ("unversioned", "unknown")  # what pytest-benchmark writes where there is no repository

_FIGURES = ("base", "head", "change", "lower", "upper", "margin", "mde", "head_replicates", "base_replicates",
            "machine")  # fmt: skip


def read_run(path: PathLike, *, foreign: bool = False) -> Run:
    """Read and check a benchmark JSON; `foreign` reads what any such file has, also in one of ours.

    BaselineError for a file that is damaged, newer, or no benchmark JSON.
    """
    return run_of(read_json(path, nan=True, one_by_one="benchmarks"), foreign=foreign)


def read_sides(base: Sequence[PathLike], head: Sequence[PathLike]) -> tuple[list[Run], list[Run]]:
    """The runs of base and of head; only what any such file has, where some of them are not inferkit's."""
    runs = {path: read_run(path) for path in (*base, *head)}
    if len({run.ours for run in runs.values()}) > 1:
        runs = {path: read_run(path, foreign=True) for path in runs}
    return [runs[path] for path in base], [runs[path] for path in head]


def run_of(top: Place, *, foreign: bool = False) -> Run:
    """As `read_run`, of a JSON object that is at hand (checked_json.parse_json)."""
    if "benchmarks" not in top.values or "machine_info" not in top.values:
        raise top.fail("is no pytest-benchmark JSON: it has no benchmarks or no machine_info")
    if "inferkit" in top.values and not foreign:
        top.place("inferkit").finite()
        return _ours(top, top.place("inferkit"))
    return _foreign(top)


def _ours(top: Place, place: Place) -> Run:
    schema = place.schema(SCHEMA)
    fingerprints = {
        slug: Fingerprint.of(buckets.texts()) for slug, buckets in place.place("fingerprints").places().items()
    }
    cases = {name: _case(name, case, fingerprints, schema) for name, case in place.place("cases").places().items()}
    accuracy = {name: _accuracy(name, part) for name, part in place.place("accuracy").places().items()}
    failures = _reasons(place.values.get("failures"))
    outcomes = _outcomes(place)
    judged = {outcome.case for outcome in outcomes}
    # Schema 1 had no outcome of a case that could not be measured.
    outcomes += [failed(name, main_metric(name), reason) for name, reason in failures.items() if name not in judged]
    declared = place.place("declared")
    return Run(
        name=top.file,
        fingerprints=fingerprints,
        cases=cases,
        accuracy=accuracy,
        references=_references(place, "references"),
        memory_references=_references(place, "memory_references"),
        outcomes=tuple(outcomes),
        # A case that was refused unmeasured (by workers of pytest-xdist) spoils nobody's replicates.
        invalid={
            outcome.case: outcome.reason or "measured as INVALID"
            for outcome in outcomes
            if outcome.verdict is Verdict.INVALID
            and outcome.machine is None
            and (outcome.case in cases or outcome.case in accuracy)
        },
        failures=failures,
        declared={slug: _texts(declared, slug) for slug in declared.values},
        origin=_origin(top, str(place.values.get("version") or "")),
        narrowed=bool(place.values.get("narrowed")),
        smoke=bool(place.values.get("smoke")),
        busy_host=_texts(place, "busy_host") if "busy_host" in place.values else (),
        record=place.values,
    )


def _references(place: Place, key: str) -> dict[str, CaseRun]:
    return {slug: read_reference(each, slug) for slug, each in place.place(key).places().items()}


def _case(name: str, place: Place, fingerprints: Mapping[str, Fingerprint], schema: int) -> CaseRun:
    data = read_data(place)
    slug = place.text("fingerprint")
    if slug not in fingerprints:
        raise place.fail(f"names the fingerprint {slug!r}, which the file does not have", "fingerprint")
    place.optional("memory", above=-1)
    facts = place.values
    rebuilt = facts.get("backend") == _REBUILT_IN_SCHEMA_1 if schema == 1 else facts.get("rebuilt") is True
    network, settings = (facts[key] if isinstance(facts.get(key), str) else None for key in ("network", "settings"))
    return CaseRun(
        case=name,
        fingerprint=slug,
        data=data,
        margin=place.optional("margin", above=0),
        builds=read_builds(place, len(data["log_medians"])),
        network=network,
        settings=settings,
        rebuilt=rebuilt,
        margins=read_margins(place.place("margins")),
        layers=readable_table(facts.get("layers")),
        files=read_files(place),
        outputs=read_kept_outputs(place),
        outputs_rule=place.optional_text("outputs_rule") or SHOW,
        least_share=place.optional("least_precision_share", above=-1e-9, most=100),
        other_precisions=others_from(facts.get("other_precisions")),
        facts=_renamed_layers(facts) if schema == 1 else facts,
    )


# Schema 1 did not say whether an engine was chosen by timing; it was so of one backend.
_REBUILT_IN_SCHEMA_1 = "tensorrt"


def _renamed_layers(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The facts of schema 1, whose layers that explain a change had other words for base and head."""
    why = facts.get("why")
    changes = why.get("changes") if isinstance(why, dict) else None
    if not isinstance(changes, list):
        return facts
    words = {"before_us": "base_us", "now_us": "head_us"}
    renamed = [
        {words.get(key, key): value for key, value in change.items()} if isinstance(change, dict) else change
        for change in changes
    ]
    return {**facts, "why": {**facts["why"], "changes": renamed}}


def _accuracy(name: str, place: Place) -> AccuracyRun:
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
    return AccuracyRun(
        case=name,
        fingerprint=place.text("fingerprint"),
        margin=place.optional("tolerance", above=0),
        facts=place.values,
        top1=top1,
        top5=place.number("top5", above=-1e-9, most=100),
        images=images,
        dataset=place.text("dataset"),
        right=right,
        not_finite=int(place.optional("not_finite", above=-1, most=1e9) or 0),
    )


def _outcomes(place: Place) -> list[Outcome]:
    values = place.values.get("outcomes", [])
    try:
        outcomes = [Outcome.from_dict(value) for value in values]
        for outcome in outcomes:
            each = Place(outcome.as_dict(), place.file, "inferkit/outcomes")
            for key in ("case", "metric"):
                each.text(key)
            for key in _FIGURES:
                each.optional(key)
        return outcomes
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise place.fail(f"is damaged: {error}", "outcomes") from error


def _texts(place: Place, key: str) -> tuple[str, ...]:
    value = place.values[key]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise place.fail("must be a list of texts", key)
    return tuple(value)


def _reasons(content: object) -> dict[str, str]:
    """Reasons by case, empty where one is no text: they are words to be shown, and no figure rests on them."""
    reasons = content if isinstance(content, dict) else {}
    return {name: text if isinstance(text, str) else "" for name, text in reasons.items()}


def _origin(top: Place, version: str = "") -> Origin:
    info = top.place("commit_info").values
    commit, project, branch = (str(info.get(key) or "") for key in ("id", "project", "branch"))
    date = str(top.values.get("datetime") or "")
    return Origin(top.file, commit, date, project, branch, version, info.get("dirty") is True)


def _foreign(top: Place) -> Run:
    """The benchmarks of a file that inferkit did not write, under pytest-benchmark's own full names.

    What is odd about one of them costs the others nothing: one without a name or figures is left out with a remark, one
    whose median is no time is INVALID. Of one that is listed twice (by pytest-rerunfailures) the last counts.
    """
    fingerprint = _machine(top.place("machine_info"))
    benchmarks = top.values["benchmarks"]
    if not isinstance(benchmarks, list):
        raise top.fail("must be a list", "benchmarks")
    cases: dict[str, CaseRun] = {}
    invalid: dict[str, str] = {}
    remarks: list[str] = []
    for number, value in enumerate(benchmarks):
        try:
            name, median = _benchmark(value, top.file, number)
        except BaselineError as error:
            remarks.append(f"{error}: left out")
            continue
        if name in cases:
            remarks.append(f"{top.file}: {name} is listed twice (run again?): the last one counts")
            invalid.pop(name, None)
        logs: tuple[float, ...] = ()
        if isinstance(median, float | int) and not isinstance(median, bool) and FASTEST < median <= SLOWEST:
            logs = (math.log(median),)
        else:
            invalid[name] = f"its median of {median!r} s is no time that a benchmark takes"
        data = {"log_medians": logs} if logs else {}
        cases[name] = CaseRun(case=name, fingerprint=fingerprint.slug, data=data, replicates_known=False)
    return Run(
        name=top.file,
        fingerprints={fingerprint.slug: fingerprint},
        cases=cases,
        invalid=invalid,
        origin=_origin(top),
        ours=False,
        remarks=tuple(remarks),
    )


def _benchmark(value: object, file: str, number: int) -> tuple[str, object]:
    """The name and the median of an entry. BaselineError where it has none, as of a benchmark that failed."""
    where = f"benchmarks/{number}"
    if isinstance(value, Damaged):
        raise BaselineError(f"{file}: {where}: {value.name or 'a benchmark'} is damaged: {value.reason}")
    if not isinstance(value, dict):
        raise BaselineError(f"{file}: {where}: must be an object")
    place = Place(value, file, where)
    name = place.text("fullname")
    stats = value.get("stats")
    if not isinstance(stats, dict) or stats.get("median") is None:
        raise place.fail(f"{name} has no median", "stats")
    return name, stats["median"]


def _machine(info: Place) -> Fingerprint:
    """A machine as pytest-benchmark describes it, in buckets: its measured clock and its host name are left out."""
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
