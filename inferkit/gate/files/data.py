"""The data of a measured case in JSON: one key for each metric, read strictly, whatever the file around it is.

Times are in seconds or logarithms of seconds, memory in bytes; lists have one value for each replicate, metrics of the
engine one plain value.
"""

from __future__ import annotations

import math
import os
from typing import Any

from inferkit.content_store import is_sha256
from inferkit.gate.files.checked_json import Place
from inferkit.gate.metrics import Metric, of_replicates
from inferkit.gate.run import CaseRun
from inferkit.gate.stated.margins import Margin, metric_of, parse_margin
from inferkit.gate.units import Unit
from inferkit.measure.latency.outputs import KeptOutputs

FASTEST, SLOWEST = 1e-9, 86_400.0  # seconds that a batch can take: a nanosecond to a day
_LONGEST_PATH, _LONGEST_NAME = 4095, 255  # bytes; of a path and of a name in it, as Linux has them
_DIGITS = 6  # of a logarithm: a millionth of the time; enough, and a review can read them


def read_data(place: Place) -> dict[str, tuple[float, ...]]:
    """The data of a case by datum. BaselineError for what cannot be, and where the latency has no replicate."""
    found = {metric.datum: _values(place, metric) for metric in of_replicates()}
    if not found["log_medians"]:
        raise place.fail("holds no replicate", "log_medians")
    return {datum: values for datum, values in found.items() if values}


def read_builds(place: Place, replicates: int) -> tuple[int, ...]:
    """The number of the build of each replicate; empty where all are of one."""
    numbers = place.numbers("builds", above=-1, most=1e6)
    if numbers and len(numbers) != replicates:
        raise place.fail(f"has {len(numbers)} entries for {replicates} replicates", "builds")
    return tuple(int(number) for number in numbers)


def read_files(place: Place) -> dict[str, str]:
    """The SHA-256 of the network's files by their path; empty where none is stated.

    BaselineError for what is no SHA-256, and for a path that no file can have.
    """
    files = place.place("files")
    for path in files.values:
        if not _is_path(path):
            raise place.fail(f"{path[:40]!r} cannot be the path of a file", "files")
        if not is_sha256(files.text(path)):
            raise files.fail("is no SHA-256 (64 hexadecimal digits)", path)
    return files.texts()


def read_kept_outputs(place: Place) -> KeptOutputs | None:
    """What a case computed; None where it is not stated. BaselineError for what is damaged."""
    if place.values.get("outputs") is None:
        return None
    try:
        return KeptOutputs.from_dict(place.values["outputs"])
    except ValueError as error:
        raise place.fail(str(error), "outputs") from error


def read_margins(place: Place) -> dict[str, Margin]:
    """The margins stated of a case by metric, as `10 MiB`; of a metric that this version does not have, none."""
    margins: dict[str, Margin] = {}
    for name, value in place.values.items():
        metric = metric_of(name)
        try:
            margins |= {} if metric is None else {metric.name: parse_margin(value, metric)}
        except ValueError as error:
            raise place.fail(str(error), name) from error
    return margins


def read_reference(place: Place, fingerprint: str) -> CaseRun:
    """A reference network: its version, its log-medians, its margin where it states one."""
    logs = place.numbers("log_medians", above=math.log(FASTEST), most=math.log(SLOWEST))
    if not logs:
        raise place.fail("holds no replicate", "log_medians")
    margin = place.optional("margin", above=0)
    return CaseRun(case=place.text("name"), fingerprint=fingerprint, data={"log_medians": logs}, margin=margin)


def written(case: CaseRun, digits: int | None = _DIGITS) -> dict[str, Any]:
    """The data of a case as JSON has them; empty ones are left out."""
    content: dict[str, Any] = {}
    for metric in of_replicates():
        values = case.data.get(metric.datum, ())
        if metric.unit is Unit.BYTES:
            values = tuple(int(value) for value in values)
        elif digits is not None:
            values = tuple(round(value, digits) for value in values)
        if values:
            content[metric.datum] = values[0] if metric.of_engine else list(values)
    return content


def _is_path(text: str) -> bool:
    try:
        encoded = os.fsencode(text)
    except ValueError:  # half of a surrogate pair
        return False
    names = encoded.split(b"/")
    return (
        0 < len(encoded) <= _LONGEST_PATH
        and b"\0" not in encoded
        and names[-1] not in (b"", b".", b"..")
        and max(map(len, names)) <= _LONGEST_NAME
    )


def _values(place: Place, metric: Metric) -> tuple[float, ...]:
    if metric.of_engine:
        value = place.optional(metric.datum, above=-1)
        if value is not None and metric.unit is Unit.BYTES and value != int(value):
            raise place.fail(f"must be whole bytes, not {value!r}", metric.datum)
        return () if value is None else (value,)
    if metric.logarithmic:
        return place.numbers(metric.datum, above=math.log(FASTEST), most=math.log(SLOWEST))
    return place.numbers(metric.datum, above=-1 if metric.unit is Unit.BYTES else -1e-9)
