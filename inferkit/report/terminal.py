"""The table at the end of a run: verdicts that were computed before, shown and nothing else.

A row is a JSON-able mapping with a `kind` (latency, accuracy, missing, invalid, unsupported, failed); it may come from
another process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from inferkit.gate.metrics import ACCURACY, LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.units import percent, seconds, size
from inferkit.report.facts import number, rate, unit_of
from inferkit.report.layers import culprits, folded, headline_lines
from inferkit.report.table import Column, change_and_margin, table_lines, unsupported_lines, which_cases


def _plain(value: Any) -> str:
    return str(value)


def _spread(value: float) -> str:
    return f"±{value:.1%}"


def _lost(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # + 0.0: no "-0.00"


_CHANGE = "change / margin"
_LATENCY = (
    Column("case", "case", _plain, left=True),
    Column("median", "centre", seconds),
    Column("±", "spread", _spread, rank=2),
    Column("p90", "p90", seconds, rank=5),
    Column("p95", "p95", seconds, rank=7),
    Column("p99 (samples)", "p99", _plain, rank=4),
    Column("throughput", "rate", _plain, rank=3),
    Column("of executions alone", "share_of_execution_only", "{:.1%}".format, rank=2),
    Column("input", "input", _plain, rank=4, left=True),
    Column("memory", "memory", size, rank=6),
    Column("at precision", "coverage", "{:.0%}".format, rank=1),
    Column("precision share", "precision_share", "{:.0f} %".format, rank=1),
    Column("base", "base", seconds, rank=1),
    Column(_CHANGE, "change", _plain),
    Column("verdict", "verdict", _plain, left=True),
    Column("deciding metric", "deciding_metric", _plain, rank=3, left=True),
)
_SERVICE = (
    Column("service", "case", _plain, left=True),
    Column("datum", "centre", seconds),
    Column("±", "spread", _spread, rank=1),
    Column("throughput", "rate", _plain, rank=1),
    Column("median", "p50", seconds, rank=5),
    Column("p99 (queries)", "p99", _plain, rank=3),
    Column("MLPerf", "loadgen", _plain, rank=4, left=True),
    Column("base", "base", seconds, rank=1),
    Column(_CHANGE, "change", _plain),
    Column("verdict", "verdict", _plain, left=True),
    Column("deciding metric", "deciding_metric", _plain, rank=2, left=True),
)
_ACCURACY = (
    Column("case", "case", _plain, left=True),
    Column("images", "images", _plain, rank=2),
    Column("input", "input", _plain, rank=4, left=True),
    Column("at precision", "coverage", "{:.0%}".format, rank=2),
    Column("top-1", "top1", percent),
    Column("top-5", "top5", percent, rank=4),
    Column("base", "base", percent, rank=1),
    Column("points / tolerance", "change", _plain),
    Column("upper bound of loss", "upper", _lost, rank=1),
    Column("lost", "lost", _plain, rank=2),
    Column("gained", "gained", _plain, rank=2),
    Column("throughput", "rate", _plain, rank=3),
    Column("verdict", "verdict", _plain, left=True),
)
# Cases that failed have a table of their own: they have no figures, and need the room for the reason.
_STOPPED = (
    Column("verdict", "verdict", _plain, left=True),
    Column("reason", "reason", _plain, left=True, fills=True),
)

# What a table cannot explain; FAILED, and the absence of a baseline, are told once for many cases.
_EXPLAINED = (
    Verdict.REGRESSED,
    Verdict.SUSPECT,
    Verdict.WAIVED,
    Verdict.INCONCLUSIVE,
    Verdict.INVALID,
    Verdict.MISSING,
    Verdict.NO_BASELINE,
)


# Rows of these kinds have times: what FAILED of them is a metric.
_MEASURED = ("latency", "service")


def render(results: Iterable[Mapping[str, Any]], *, width: int = 0, color: bool = False) -> list[str]:
    """The lines to print for results ({"verdict", "line", "row"}): the tables, grouped reasons, and explanations."""
    shown = list(results)
    rows = [result["row"] for result in shown]
    lines: list[str] = []
    for columns, kind in ((_LATENCY, "latency"), (_SERVICE, "service"), (_ACCURACY, "accuracy")):
        chosen = [row for row in rows if row["kind"] == kind]
        if chosen:
            lines += [*_table(columns, chosen, width, color), ""]
        stopped = [row for row in rows if row.get("table") == kind]
        if stopped:
            head = replace(columns[0], title=f"{columns[0].title}, not measured")
            lines += [*table_lines((head, *_STOPPED), stopped, width, color), ""]
    unsupported = [row for row in rows if row["kind"] == "unsupported"]
    grouped = unsupported_lines((row["case"], row["reason"], row["hint"]) for row in unsupported)
    lines += [part for line in grouped for part in folded(line, width)]
    lines += _remarks(shown, width, color)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], width: int, color: bool) -> list[str]:
    """The unit of the throughput stands in the column's title where all rows have the same, else in their cells."""
    units = {unit_of(row) for row in rows}
    title, in_cells = (f"{units.pop()}/s", False) if len(units) == 1 else ("throughput", True)
    titled = [replace(column, title=title) if column.key == "rate" else column for column in columns]
    return table_lines(titled, [_cells(row, in_cells) for row in rows], width, color)


def _cells(row: Mapping[str, Any], unit: bool) -> dict[str, Any]:
    """A row with the cells that take more than one of its values."""
    metric, key = (ACCURACY, "tolerance") if row["kind"] == "accuracy" else (LATENCY, "margin")
    change, margin, tail, throughput = (number(row, each) for each in ("change", key, "p99", "images_per_second"))
    compared = change_and_margin(Outcome(row["case"], metric, Verdict(row["verdict"]), change=change, margin=margin))
    return {
        **row,
        "p99": None if tail is None else f"{seconds(tail)} ({row.get('samples', 0):,})",
        "rate": None if throughput is None else rate(throughput) + (f" {unit_of(row)}/s" if unit else ""),
        "change": compared and compared.replace(" points", ""),
    }


def _remarks(results: Iterable[Mapping[str, Any]], width: int, color: bool) -> list[str]:
    """The lines of verdicts that a table cannot explain, with the layers that changed a case; the same reason once."""
    lines: list[str] = []
    absent: dict[str, int] = {}
    covered: dict[str, list[str]] = {}
    failed: dict[str, tuple[str, list[str]]] = {}
    for result in results:
        verdict, kind = result["verdict"], result["row"]["kind"]
        for key in ("coverage_note", "precision_note"):
            if result["row"].get(key):
                covered.setdefault(result["row"][key], []).append(result["row"]["case"])
        if verdict == Verdict.SCREENED:
            continue  # the first line of the section says why, the table has the figures
        if verdict == Verdict.NO_BASELINE and kind in ("latency", "service"):
            reason = result["row"].get("reason") or ""
            absent[reason] = absent.get(reason, 0) + 1
        elif (
            verdict in _EXPLAINED
            or (verdict == Verdict.FAILED and kind in _MEASURED)
            or culprits(result["row"], result["line"])[1]
        ):
            lines += headline_lines(result["line"], result["row"], width=width, color=color)
        lines += [part for line in result["row"].get("also", ()) for part in folded(line, width)]
        if verdict == Verdict.FAILED and kind not in _MEASURED:
            case, reason = result["row"]["case"], result["row"]["reason"]
            # Sizes, addresses and times differ from case to case; the cause is the same.
            failed.setdefault(re.sub(r"\d+", "0", reason), (reason, []))[1].append(case)
    grouped = [
        line for reason, cases in failed.values() for line in f"FAILED {which_cases(cases)}: {reason}".splitlines()
    ]
    grouped += [f"note on {which_cases(cases)}: {sentence}" for sentence, cases in covered.items()]
    for reason, count in absent.items():
        cases = "1 case" if count == 1 else f"{count} cases"
        grouped.append(f"NO_BASELINE {cases}: {reason}; `inferkit baseline promote RUN.json` makes one")
    return [*lines, *(part for line in grouped for part in folded(line, width))]
