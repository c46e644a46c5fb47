"""What a report shows of the layers that changed: rows for a terminal, for Markdown and for the HTML report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferkit.gate.layer_diff import LayerDiff, signed
from inferkit.gate.units import seconds
from inferkit.report.facts import mapping, mappings, number, text
from inferkit.report.table import Column, table_lines

WHY = "why"  # the key of a case's facts
_MOST = 8
_WIDEST = 44  # characters of a layer's name
_COLUMNS = (
    Column("layer", "layer", lambda text: shortened(text), left=True),
    Column("base", "base", str, rank=1),
    Column("head", "head", str, rank=1),
    Column("change", "change", str),
    Column("what", "what", str, left=True),
)


@dataclass(frozen=True)
class LayerChangeRow:
    """One group of layers; texts are plain and must be escaped. `change` is empty where it was not timed."""

    layer: str
    base: str
    head: str
    change: str
    what: str


def layer_changes(facts: Mapping[str, Any], most: int = _MOST) -> tuple[LayerChangeRow, ...]:
    """The layers that changed most between base and head, from the facts of a latency case (CaseView.facts).

    This is the function that every report calls. Empty where nothing was compared. The whole is in the case's line.
    """
    found = []
    for told in mappings(mapping(facts, WHY), "changes")[:most]:
        layers = told.get("layers")
        names = [each for each in layers if isinstance(each, str)] if isinstance(layers, list) else []
        if names:
            found.append(
                LayerChangeRow(
                    names[0] if len(names) == 1 else f"{names[0]} (+{len(names) - 1})",
                    _time(told, "base_us"),
                    _time(told, "head_us"),
                    "" if (delta := number(told, "delta_us")) is None else signed(delta / 1e6),
                    text(told, "what") or "",
                )
            )
    return tuple(found)


def layer_lines(
    case: str, facts: Mapping[str, Any], *, most: int = _MOST, width: int = 0, color: bool = False
) -> list[str]:
    """The lines for a terminal: a heading and a small table; none where nothing was compared."""
    rows = layer_changes(facts, most)
    if not rows:
        return []
    groups = int(number(mapping(facts, WHY), "groups") or len(rows))
    more = f", the {len(rows)} of {groups} groups that changed most" if groups > len(rows) else ""
    return [f"layers of {case}{more}:", *table_lines(_COLUMNS, [_sparse(row) for row in rows], width, color)]


def diff_lines(layers: Mapping[str, LayerDiff], *, width: int = 0, color: bool = False) -> list[str]:
    """`layer_lines` of every case of a comparison, an empty line before each."""
    lines: list[str] = []
    for case, diff in layers.items():
        lines += ["", *layer_lines(case, {WHY: diff.as_dict(_MOST)}, width=width, color=color)]
    return lines


def markdown_rows(rows: Sequence[LayerChangeRow], plain: Any) -> list[str]:
    """Rows of a Markdown table, every text made harmless by `plain`."""
    head = ["| layer | base | head | change | what |", "| --- | ---: | ---: | ---: | --- |"]
    cells = [(plain(r.layer), plain(r.base), plain(r.head), plain(r.change), plain(r.what)) for r in rows]
    return [*head, *(f"| {' | '.join(cell or '–' for cell in row)} |" for row in cells)]


def shortened(text: str) -> str:
    """A long name in a table: its beginning and its end, which tell kernels and fusions apart."""
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 13]}…{text[-12:]}"


def _sparse(row: LayerChangeRow) -> dict[str, str | None]:
    return {key: value or None for key, value in row.__dict__.items()}


def _time(told: Mapping[str, Any], key: str) -> str:
    value = number(told, key)
    return "" if value is None else seconds(value / 1e6) if value > 0 else "0"
