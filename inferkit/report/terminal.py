"""The table at the end of a run: verdicts that were computed before, shown and nothing else.

A row is a JSON-able mapping with a `kind` (latency, accuracy, missing, invalid, unsupported, failed); it may come from
another process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from inferkit.gate.outcome import Verdict
from inferkit.gate.units import percent, seconds, size
from inferkit.report.layers import layer_lines
from inferkit.report.table import Column, table_lines, unsupported_lines, which_cases


def _plain(value: Any) -> str:
    return str(value)


def _share(value: float) -> str:
    return f"{value:+.1%}"


def _spread(value: float) -> str:
    return f"±{value:.1%}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _points(value: float) -> str:
    return f"{round(-value, 2) + 0.0:+.2f}"  # + 0.0: no "-0.00"


_LATENCY = (
    Column("case", "case", _plain, left=True),
    Column("median", "centre", seconds),
    Column("±", "spread", _spread, rank=1),
    Column("p90", "p90", seconds, rank=4),
    Column("p95", "p95", seconds, rank=6),
    Column("p99", "p99", seconds, rank=3),
    Column("images/s", "images_per_second", _rate, rank=2),
    Column("memory", "memory", size, rank=5),
    Column("base", "base", seconds, rank=1),
    Column("change", "change", _share),
    Column("verdict", "verdict", _plain, left=True),
    Column("deciding metric", "deciding_metric", _plain, rank=2, left=True),
)
_SERVICE = (
    Column("service", "case", _plain, left=True),
    Column("datum", "centre", seconds),
    Column("±", "spread", _spread, rank=1),
    Column("images/s", "images_per_second", _rate),
    Column("p50", "p50", seconds, rank=4),
    Column("p99", "p99", seconds, rank=2),
    Column("MLPerf", "loadgen", _plain, left=True),
    Column("base", "base", seconds, rank=1),
    Column("change", "change", _share),
    Column("verdict", "verdict", _plain, left=True),
    Column("deciding metric", "deciding_metric", _plain, rank=2, left=True),
)
_ACCURACY = (
    Column("case", "case", _plain, left=True),
    Column("images", "images", _plain, rank=2),
    Column("top-1", "top1", percent),
    Column("top-5", "top5", percent, rank=4),
    Column("base", "base", percent),
    Column("points", "change", _points),
    Column("upper bound", "upper", _points),
    Column("lost", "lost", _plain, rank=1),
    Column("gained", "gained", _plain, rank=1),
    Column("images/s", "images_per_second", _rate, rank=3),
    Column("verdict", "verdict", _plain, left=True),
)

# What a table cannot explain; FAILED, and the absence of a baseline, are told once for many cases.
_EXPLAINED = (Verdict.REGRESSED, Verdict.INCONCLUSIVE, Verdict.INVALID, Verdict.MISSING, Verdict.NO_BASELINE)


def render(results: Iterable[Mapping[str, Any]], *, width: int = 0, color: bool = False) -> list[str]:
    """The lines to print for results ({"verdict", "line", "row"}): the tables, grouped reasons, and explanations."""
    shown = list(results)
    rows = [result["row"] for result in shown]
    lines: list[str] = []
    for columns, kind in ((_LATENCY, "latency"), (_SERVICE, "service"), (_ACCURACY, "accuracy")):
        chosen = [row for row in rows if row["kind"] == kind]
        if chosen:
            lines += [*table_lines(_with_unit(columns, chosen), chosen, width, color), ""]
    unsupported = [row for row in rows if row["kind"] == "unsupported"]
    lines += unsupported_lines((row["case"], row["reason"], row["hint"]) for row in unsupported)
    lines += _remarks(shown)
    for row in rows:
        layers = layer_lines(row["case"], row, width=width, color=color)
        lines += ["", *layers] if layers else []
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _with_unit(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> list[Column]:
    """The columns, with throughput in items/s where the batches of a row consist of anything but images."""
    is_images = all(row.get("unit", "images") == "images" for row in rows)
    return [
        column if column.key != "images_per_second" or is_images else replace(column, title="items/s")
        for column in columns
    ]


def _remarks(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """The lines of verdicts that a table cannot explain, the same reason once."""
    lines: list[str] = []
    absent: dict[str, int] = {}
    failed: dict[str, list[str]] = {}
    for result in results:
        verdict, kind = result["verdict"], result["row"]["kind"]
        if verdict == Verdict.NO_BASELINE and kind in ("latency", "service"):
            reason = result["row"].get("reason") or ""
            absent[reason] = absent.get(reason, 0) + 1
        elif verdict in _EXPLAINED:
            lines.append(result["line"])
        elif verdict == Verdict.FAILED:
            failed.setdefault(result["row"]["reason"], []).append(result["row"]["case"])
    lines += [f"FAILED {which_cases(cases)}: {reason}" for reason, cases in failed.items()]
    for reason, count in absent.items():
        cases = "1 case" if count == 1 else f"{count} cases"
        lines.append(f"NO_BASELINE {cases}: {reason}; `inferkit baseline promote RUN.json` makes one")
    return lines
