"""The layers that changed as bars: left of the line what got faster, right of it what got slower."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferkit.gate.layer_diff import signed
from inferkit.report.escape import escape
from inferkit.report.facts import mapping, mappings, number
from inferkit.report.layers import WHY
from inferkit.report.svg import element, make_scale

_WIDTH, _LEFT, _RIGHT, _ROW = 520, 168, 76, 22
_LETTERS = 22  # of a name that fit left of the bars
_MOST = 12


def layer_bars(facts: Mapping[str, Any], title: str) -> str:
    """The picture of a case's changed layers, from the facts of a latency case; empty where none was timed."""
    told = []
    for change in mappings(mapping(facts, WHY), "changes")[:_MOST]:
        layers = change.get("layers")
        names = [name for name in layers if isinstance(name, str)] if isinstance(layers, list) else []
        delta = number(change, "delta_us")
        if names and delta:
            told.append((names[0] + (f" (+{len(names) - 1})" if len(names) > 1 else ""), delta / 1e6))
    if not told:
        return ""
    low, high = min(0.0, *(delta for _, delta in told)), max(0.0, *(delta for _, delta in told))
    scale = make_scale(low, high, _LEFT + (_RIGHT if low < 0 else 8), _WIDTH - (_RIGHT if high > 0 else 8), False)
    bottom = 6 + _ROW * len(told)
    body = []
    for index, (name, delta) in enumerate(told):
        y = 6 + _ROW * index
        kind, (start, end) = (1, (0.0, delta)) if delta > 0 else (2, (delta, 0.0))
        x, width = scale(start), max(scale(end) - scale(start), 1.0)
        shown = name if len(name) <= _LETTERS else f"{name[: _LETTERS // 2]}…{name[1 - _LETTERS // 2 :]}"
        where, anchor = (x + width + 5, "start") if delta > 0 else (x - 5, "end")
        body.append(
            f'<text class="tick" x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(shown)}'
            f"<title>{escape(name)}</title></text>"
            f'<rect class="f{kind}" x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{_ROW - 8}" rx="2"/>'
            f'<text class="label" x="{where:.1f}" y="{y + 14}" text-anchor="{anchor}">{signed(delta)}</text>'
        )
    body.append(f'<path class="zero" d="M{scale(0.0):.1f} 2V{bottom}"/>')
    said = "; ".join(f"{name} {signed(delta)}" for name, delta in told)
    return element(_WIDTH, bottom + 4, title, said, "".join(body))
