"""What a report shows of the layers of a case: those that changed it under its headline, and one table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from inferkit.gate.layer_diff import NOT_SHOWN, share_of, signed, without_names
from inferkit.gate.units import seconds
from inferkit.measure.layers.table import readable_table
from inferkit.report.escape import clean
from inferkit.report.facts import mapping, mappings, number, text
from inferkit.report.table import Column, table_lines

WHY = "why"  # the key of a case's facts
_MOST = 8
_FEW = 3  # under a headline
_LEAST = 0.05  # of what all layers changed by: what explains less is not worth a line
_INDENT = " " * 4
_WIDEST = 44  # characters of a layer's name
_COLUMNS = (
    Column("layer", "layer", lambda text: shortened(text), left=True),
    Column("base", "base", str, rank=1),
    Column("head", "head", str, rank=1),
    Column("change", "change", str),
    Column("of head", "share", str, rank=2),
    Column("what", "what", str, left=True),
)


@dataclass(frozen=True)
class ShownLayer:
    """One group of layers; texts are plain and must be escaped. Empty where it is not known.

    `change` is `+41 µs (+34%)`, `share` of all layers' time in head.
    """

    layer: str
    base: str
    head: str
    change: str
    share: str
    what: str

    @property
    def line(self) -> str:
        """For a list: `conv1: 120 µs -> 161 µs, +41 µs (+34%), fp16 -> fp32`."""
        times = " -> ".join(filter(None, (self.base, self.head)))
        return f"{self.layer}: {', '.join(filter(None, (times, self.change, self.what)))}"


def layer_rows(facts: Mapping[str, Any], most: int = _MOST) -> tuple[ShownLayer, ...]:
    """The one table of a latency case (CaseView.facts): the layers that changed most between base and head.

    Where base and head were not compared, the slowest layers. Empty where no backend told of any.
    """
    groups = _groups(facts)
    return tuple(_row(group, _of_head(facts, groups)) for group in groups[:most])


def culprits(facts: Mapping[str, Any], line: str) -> tuple[str, tuple[ShownLayer, ...]]:
    """A verdict's line without the layers that it names, and those layers, at most three, to stand below it.

    The line as it is, and none, where the layers' times do not explain the change.
    """
    groups = [] if NOT_SHOWN in line else mappings(mapping(facts, WHY), "changes")
    total = number(mapping(facts, WHY), "delta_us") or _total(groups, "delta_us")
    named = [group for group in groups if (number(group, "delta_us") or 0.0) * total > _LEAST * total**2]
    rows = tuple(_row(group, _of_head(facts, groups)) for group in named[:_FEW])
    return without_names(line) if rows else line, rows


def headline_lines(line: str, facts: Mapping[str, Any], *, width: int = 0, color: bool = False) -> list[str]:
    """A verdict's line for a terminal, folded where that is narrow, and below it the layers that changed it."""
    headline, rows = culprits(facts, line)
    table = table_lines(_COLUMNS, [_sparse(row) for row in rows], max(width - len(_INDENT), 0), color) if rows else []
    return [*folded(headline, width), *(_INDENT + each for each in table)]


def folded(line: str, width: int) -> list[str]:
    """A line for a terminal of this width, whatever is below the first part indented; 0 is a log, which folds none."""
    line = clean(line)
    parts = wrap(line, width, subsequent_indent=_INDENT, break_on_hyphens=False) if width > 2 * len(_INDENT) else []
    return parts or [line]


def layer_lines(
    case: str, facts: Mapping[str, Any], *, most: int = _MOST, width: int = 0, color: bool = False
) -> list[str]:
    """The table for a terminal with a heading; none where nothing was compared."""
    rows = layer_rows(facts, most)
    if not rows:
        return []
    groups = int(number(mapping(facts, WHY), "groups") or len(rows))
    more = f", the {len(rows)} of {groups} groups that changed most" if groups > len(rows) else ""
    return [f"layers of {case}{more}:", *table_lines(_COLUMNS, [_sparse(row) for row in rows], width, color)]


def shortened(text: str) -> str:
    """A long name in a table: its beginning and its end, which tell kernels and fusions apart."""
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 13]}…{text[-12:]}"


def _groups(facts: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Groups of layers as a run file keeps them; where none were compared, each layer of head, the slowest first."""
    compared = [group for group in mappings(mapping(facts, WHY), "changes") if _names(group)]
    if compared:
        return compared
    times = [(row.name, row.seconds) for row in readable_table(facts.get("layers")) if row.seconds]
    if not times:  # of Caffe
        told = mapping(mapping(facts, "details"), "layer_seconds")
        times = [(name, value) for name in told if (value := number(told, name)) is not None and value > 0]
    return [{"layers": [name], "head_us": 1e6 * time} for name, time in sorted(times, key=lambda pair: -pair[1])]


def _names(group: Mapping[str, Any]) -> list[str]:
    layers = group.get("layers")
    return [each for each in layers if isinstance(each, str)] if isinstance(layers, list) else []


def _total(groups: Sequence[Mapping[str, Any]], key: str) -> float:
    return sum(number(group, key) or 0.0 for group in groups)


def _of_head(facts: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> float:
    """Microseconds of all layers of head: as stated, since a row has only some of the groups."""
    return number(mapping(facts, WHY), "head_us") or _total(groups, "head_us")


def _row(group: Mapping[str, Any], total: float) -> ShownLayer:
    names = _names(group) or [""]
    base, head, delta = (number(group, key) for key in ("base_us", "head_us", "delta_us"))
    share = share_of(delta, base)
    return ShownLayer(
        names[0] if len(names) == 1 else f"{names[0]} (+{len(names) - 1})",
        _time(base),
        _time(head),
        "" if delta is None else signed(delta / 1e6) + (f" ({share})" if share else ""),
        "" if not head or total <= 0 else f"{head / total:.1%}",
        text(group, "what") or "",
    )


def _time(micros: float | None) -> str:
    return "" if micros is None else seconds(micros / 1e6) if micros > 0 else "0"


def _sparse(row: ShownLayer) -> dict[str, str | None]:
    return {key: value or None for key, value in row.__dict__.items()}
