"""The table at the end of a run: verdicts that were computed before, shown and nothing else.

A row is a JSON-able mapping with a `kind` (latency, accuracy, missing, invalid, unsupported, failed); it may come from
another process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from inferkit.gate.outcome import percent, seconds

if TYPE_CHECKING:
    from rich.table import Table

Row = Mapping[str, Any]

_STYLES = {
    "PASS": "green",
    "IMPROVED": "bold green",
    "REGRESSED": "bold red",
    "MISSING": "bold red",
    "FAILED": "bold red",
    "INVALID": "yellow",
    "INCONCLUSIVE": "yellow",
    "NO_BASELINE": "cyan",
    "UNSUPPORTED": "dim",
}
_WIDEST = 1000
_NONE = "–"


@dataclass(frozen=True)
class _Column:
    """A column; where the terminal is too narrow for all, those of the highest `rank` are left out first."""

    title: str
    key: str
    show: Any
    rank: int = 0
    left: bool = False


def _plain(value: Any) -> str:
    return str(value)


def _share(value: float) -> str:
    return f"{value:+.1%}"


def _spread(value: float) -> str:
    return f"±{value:.1%}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _size(value: float) -> str:
    return f"{value / 2**20:.1f} MB"


def _points(value: float) -> str:
    return f"{round(-value, 2) + 0.0:+.2f}"  # + 0.0: no "-0.00"


_LATENCY = (
    _Column("case", "case", _plain, left=True),
    _Column("median", "centre", seconds),
    _Column("±", "spread", _spread, rank=1),
    _Column("p90", "p90", seconds, rank=4),
    _Column("p95", "p95", seconds, rank=6),
    _Column("p99", "p99", seconds, rank=3),
    _Column("images/s", "images_per_second", _rate, rank=2),
    _Column("memory", "memory", _size, rank=5),
    _Column("baseline", "baseline", seconds, rank=1),
    _Column("change", "change", _share),
    _Column("verdict", "verdict", _plain, left=True),
)
_ACCURACY = (
    _Column("case", "case", _plain, left=True),
    _Column("images", "images", _plain, rank=2),
    _Column("top-1", "top1", percent),
    _Column("top-5", "top5", percent, rank=4),
    _Column("against", "baseline", percent),
    _Column("points", "change", _points),
    _Column("at worst", "upper", _points),
    _Column("lost", "lost", _plain, rank=1),
    _Column("gained", "gained", _plain, rank=1),
    _Column("images/s", "images_per_second", _rate, rank=3),
    _Column("verdict", "verdict", _plain, left=True),
)


def render(results: Iterable[Mapping[str, Any]], *, width: int = 120, color: bool = False) -> list[str]:
    """The lines to print for results ({"verdict", "line", "row"}): two tables, grouped reasons, what needs a look."""
    found = list(results)
    rows = [result["row"] for result in found]
    lines: list[str] = []
    for columns, kind in ((_LATENCY, "latency"), (_ACCURACY, "accuracy")):
        chosen = [row for row in rows if row["kind"] == kind]
        if chosen:
            lines += [*_fitting(columns, chosen, width, color), ""]
    lines += _unsupported(rows)
    lines += _remarks(found)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _fitting(columns: Sequence[_Column], rows: Sequence[Row], width: int, color: bool) -> list[str]:
    """The table; on a terminal without the columns that it has no room for. A log has room for all."""
    shown = [column for column in columns if any(row.get(column.key) is not None for row in rows)]
    while True:
        lines = _lines(_table(shown, rows), color)
        least = max(column.rank for column in shown)
        if not color or least == 0 or max(map(_printed, lines)) <= width:
            return lines
        shown = [column for column in shown if column.rank < least]


def _table(columns: Sequence[_Column], rows: Sequence[Row]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column.title, justify="left" if column.left else "right", no_wrap=True)
    for row in rows:
        style = _STYLES.get(str(row.get("verdict")), "")
        cells = [_NONE if row.get(c.key) is None else c.show(row[c.key]) for c in columns]
        table.add_row(
            *[Text(text, style if c.key == "verdict" else "") for c, text in zip(columns, cells, strict=True)]
        )
    return table


def _lines(table: Table, color: bool) -> list[str]:
    """The table at its own width, whatever the terminal's."""
    from rich.console import Console

    output = StringIO()
    system: Any = "standard" if color else None
    Console(file=output, width=_WIDEST, force_terminal=color, color_system=system, no_color=not color).print(table)
    return [line.rstrip() for line in output.getvalue().splitlines()]


def _printed(line: str) -> int:
    """How many columns of the terminal a line takes, without its colours."""
    return len(re.sub(r"\x1b\[[0-9;]*m", "", line))


def _unsupported(rows: Iterable[Row]) -> list[str]:
    """One line for all cases that cannot run for the same reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["kind"] == "unsupported":
            groups.setdefault((row["reason"], row["way_out"]), []).append(row["case"])
    lines = []
    for (reason, way_out), cases in groups.items():
        which = cases[0] if len(cases) == 1 else f"{len(cases)} cases ({cases[0]} to {cases[-1]})"
        lines.append(f"UNSUPPORTED {which}: {reason}" + (f"; {way_out}" if way_out else ""))
    return lines


def _remarks(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """The lines of verdicts that a table cannot explain, the same reason told once."""
    lines: list[str] = []
    absent: dict[str, int] = {}
    for result in results:
        verdict, kind = result["verdict"], result["row"]["kind"]
        if verdict == "NO_BASELINE" and kind == "latency":
            reason = result["row"].get("reason") or ""
            absent[reason] = absent.get(reason, 0) + 1
        elif verdict in ("REGRESSED", "INCONCLUSIVE", "INVALID", "MISSING", "NO_BASELINE"):
            lines.append(result["line"])
        elif verdict == "FAILED":
            lines.append(f"FAILED {result['line']}")
    for reason, count in absent.items():
        cases = "1 case" if count == 1 else f"{count} cases"
        lines.append(f"NO_BASELINE {cases}: {reason}; `inferkit baseline promote RUN.json` makes one")
    return lines
