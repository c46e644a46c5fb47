"""Reading waivers.toml, beside the matrix: every key checked, all that does not fit told at once.

[[waivers]]
case = "resnet50-fp16-*"            # a pattern of case ids
metric = "latency"                  # a metric, or a pattern of metrics
reason = "the new decoder; see the ticket"
owner = "ana"
expires = 2026-12-31                # the last day it holds
machine = "nvidia-h100-*"           # optional: a pattern of fingerprints, as the files of baselines are named
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

from inferkit.errors import UsageError
from inferkit.gate.metrics import METRICS
from inferkit.gate.stated.margins import canonical
from inferkit.gate.stated.waivers import Waiver
from inferkit.suite.matrix.toml_table import Table, nearest, read_toml

FILE = "waivers.toml"


def beside(matrix: Path) -> tuple[Waiver, ...]:
    """The waivers in the file beside a matrix; none where there is no such file."""
    path = matrix.parent / FILE
    return read_waivers(path) if path.is_file() else ()


def read_waivers(path: str | os.PathLike[str]) -> tuple[Waiver, ...]:
    """The waivers of a file. UsageError with all that does not fit, a line each: file, line, table and key."""
    top = read_toml(Path(path))
    waivers = [_waiver(table) for table in top.tables("waivers")]
    top.finish()
    if top.problems:
        raise UsageError("\n".join(top.problems))
    return tuple(waivers)


def unmatched(waivers: Iterable[Waiver], cases: Iterable[str]) -> list[str]:
    """A line for each waiver that is about no case at all."""
    ids = list(cases)
    return [
        f"{waiver.where} case: {waiver.case!r} matches no case: remove the waiver of {waiver.owner}{_near(waiver, ids)}"
        for waiver in waivers
        if not any(fnmatchcase(name, waiver.case) for name in ids)
    ]


def _near(waiver: Waiver, ids: list[str]) -> str:
    close = nearest(waiver.case, ids)
    return close if close.startswith("; did you mean") else ""


def _waiver(table: Table) -> Waiver:
    texts = {key: _text(table, key) for key in ("case", "metric", "reason", "owner")}
    machine = _text(table, "machine") if "machine" in table.names() else "*"
    expires = table.take("expires", date)
    if expires is None and "expires" not in table.refused:
        table.note("every waiver needs the last day it holds, such as 2026-12-31", "expires")
    metrics = tuple(METRICS)
    if texts["metric"] and not any(fnmatchcase(name, canonical(texts["metric"])) for name in metrics):
        table.note(f"{texts['metric']!r} is no metric that is judged{nearest(texts['metric'], metrics)}", "metric")
    table.finish()
    return Waiver(**texts, expires=expires or date.min, where=table.where(), machine=machine)


def _text(table: Table, key: str) -> str:
    value = table.take(key, str)
    if (value is None and key not in table.refused) or (value is not None and not value.strip()):
        table.note("every waiver needs one", key)
    return value or ""
