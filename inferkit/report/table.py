"""A plain table: columns that know how to show their values, lines that fit the terminal, and sparklines."""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from inferkit.gate.outcome import Outcome, Verdict
from inferkit.report.escape import clean

if TYPE_CHECKING:
    from rich.table import Table

Row = Mapping[str, Any]

STYLES: Mapping[str, str] = {
    Verdict.PASS: "green",
    Verdict.IMPROVED: "bold green",
    Verdict.REGRESSED: "bold red",
    Verdict.SUSPECT: "bold red",
    Verdict.MISSING: "bold red",
    Verdict.FAILED: "bold red",
    Verdict.INVALID: "yellow",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NO_BASELINE: "cyan",
    Verdict.UNSUPPORTED: "dim",
    Verdict.SCREENED: "cyan",
    Verdict.WAIVED: "yellow",
}
_WIDEST = 1000
_GAP = 3  # between two columns
_LEAST_FILL, _LOG_FILL = 24, 60  # characters of a column that fills the line, at least and in a log
_NONE = "–"


@dataclass(frozen=True)
class Column:
    """A column; where the terminal is too narrow for all, those of the highest `rank` are left out first.

    One column may take what is left of the line (`fills`): text that does not fit is shown by its last part, the cause.
    """

    title: str
    key: str
    show: Any
    rank: int = 0
    left: bool = False
    fills: bool = False


def table_lines(columns: Sequence[Column], rows: Sequence[Row], width: int, color: bool) -> list[str]:
    """The table, without the columns that a terminal of this width has no room for; 0 is a log, which has room."""
    shown = [column for column in columns if any(row.get(column.key) is not None for row in rows)]
    while True:
        lines = _lines(_table(shown, _fitted(shown, rows, width)), color)
        least = max(column.rank for column in shown)
        if not width or least == 0 or max(map(_printed, lines)) <= width:
            return lines
        shown = [column for column in shown if column.rank < least]


def _fitted(columns: Sequence[Column], rows: Sequence[Row], width: int) -> Sequence[Row]:
    """The rows, with the text of the column that fills the line cut to what the others leave of it."""
    filling = next((column for column in columns if column.fills), None)
    if filling is None:
        return rows
    room = _LOG_FILL
    if width:
        others = [column for column in columns if column is not filling]
        least = _LEAST_FILL if any(column.rank for column in others) else _LEAST_FILL // 2
        room = max(width - max(map(_printed, _lines(_table(others, rows), color=False))) - _GAP, least)
    key = filling.key
    return [{**row, key: shortened(row[key], room)} if row.get(key) is not None else row for row in rows]


def shortened(text: str, room: int) -> str:
    """The first line of a reason in at most `room` characters: the cause is last, so what is before a colon goes first,
    clause by clause, and no more than must.
    """
    line = text.partition("\n")[0].rstrip(":")
    rest = line
    while len(line) > room and ": " in rest:
        rest = rest.partition(": ")[2]
        line = f"… {rest}"
    return line if len(line) <= room else f"{line[: room - 1]}…"


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column.title, justify="left" if column.left else "right", no_wrap=True)
    for row in rows:
        style = STYLES.get(str(row.get("verdict")), "")
        cells = [_NONE if row.get(c.key) is None else c.show(row[c.key]) for c in columns]
        table.add_row(
            *[Text(clean(text), style if c.key == "verdict" else "") for c, text in zip(columns, cells, strict=True)]
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


def stdout_look() -> tuple[int, bool]:
    """The width of the terminal and whether it shows colours: (0, False) where the output is no terminal.

    NO_COLOR and TERM=dumb switch colours off.
    """
    if not sys.stdout.isatty():
        return 0, False
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return shutil.get_terminal_size().columns, not plain


BLOCKS = "▁▂▃▄▅▆▇█"
# A series that moves by less is drawn flat: else noise of a thousandth would look like mountains.
_LEAST_RANGE = 0.02


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """The last `width` values, lowest to highest; a dot for one that is not finite. Empty for none."""
    shown = list(values)[-width:]
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return "·" * len(shown)
    low, high = min(finite), max(finite)
    middle = (low + high) / 2
    least = _LEAST_RANGE * abs(middle) or 1.0
    # The middle of a flat series lies within a block, not between two.
    span, floor = (high - low, low) if high - low > least else (least, middle - 0.44 * least)
    return "".join(
        BLOCKS[min(int((value - floor) / span * len(BLOCKS)), len(BLOCKS) - 1)] if math.isfinite(value) else "·"
        for value in shown
    )


def unsupported_lines(unsupported: Iterable[tuple[str, str, str]]) -> list[str]:
    """The lines for (case, reason, hint)."""
    groups: dict[tuple[str, str], list[str]] = {}
    for case, reason, hint in unsupported:
        groups.setdefault((reason, hint), []).append(case)
    return [
        f"UNSUPPORTED {which_cases(cases)}: {reason}" + (f"; {hint}" if hint else "")
        for (reason, hint), cases in groups.items()
    ]


def change_and_margin(outcome: Outcome) -> str | None:
    """A change beside what it may be: `+31.0% / 25 %`, `-0.20 / 0.5 points`; None where nothing was compared."""
    if outcome.change is None:
        return None
    change = outcome.shown_change(outcome.change)
    if outcome.margin is None:
        return change
    return f"{change.removesuffix(' points')} / {outcome.shown_amount(outcome.margin)}"


def which_cases(cases: Sequence[str]) -> str:
    """One case by its name, several by their number and the first and last of them."""
    return cases[0] if len(cases) == 1 else f"{len(cases)} cases ({cases[0]} to {cases[-1]})"
