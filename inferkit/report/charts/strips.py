"""The pictures of one case: replicates of both sides, the bounds of the change, where the time of a batch goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferkit.gate.layer_diff import signed
from inferkit.gate.metrics import ACCURACY
from inferkit.gate.outcome import FAILING, Outcome, Verdict
from inferkit.gate.units import seconds
from inferkit.report.charts.overtime import Curve
from inferkit.report.charts.svg import Scale, element, log_ticks, make_scale, marker, padded, ticks
from inferkit.report.escape import escape
from inferkit.report.facts import mapping, mappings, number
from inferkit.report.layers import WHY

_WIDTH, _LEFT, _RIGHT = 520, 96, 18
_ROW = 24
_FEW, _CROWD = 12, 4  # replicates with a row of their own; rows of the band that more of them share


@dataclass(frozen=True)
class Strip:
    """One replicate: its median and, where the raw trace is known, the 5, 25, 75 and 95 % points and the pace; seconds.

    `build` says of which build of the engine it is, None where all are of one.
    """

    median: float
    quantiles: tuple[float, float, float, float] | None = None
    build: int | None = None
    pace: Curve = ()


def strip_plot(sides: Sequence[tuple[str, Sequence[Strip]]], title: str) -> str:
    """A row per replicate: a dot for the median, a box for the middle half, a line from 5 to 95 % of its iterations.

    Empty where there is no more than one value to show.
    """
    values = [value for _, strips in sides for s in strips for value in (s.median, *(s.quantiles or ()))]
    if len(values) < 2:
        return ""
    logarithmic = max(values) / min(values) > 8
    low, high = (min(values) / 1.15, max(values) * 1.15) if logarithmic else padded(min(values), max(values))
    low = max(low, min(values) / 2)
    marks = log_ticks(low, high) if logarithmic else [tick for tick in ticks(low, high, 4) if low <= tick <= high]
    scale = _scale(low, high, logarithmic)
    rows = sum(len(strips) if len(strips) <= _FEW else _CROWD for _, strips in sides)
    bottom = 8 + rows * _ROW
    body = []
    for tick in marks:
        body.append(f'<path class="grid" d="M{scale(tick):.1f} 4V{bottom}"/>')
    body += _tick_labels([(scale(tick), seconds(tick)) for tick in marks], bottom + 18)
    body.append(f'<path class="axis" d="M{_LEFT} {bottom}H{_WIDTH - _RIGHT}"/>')
    y = 8 + _ROW / 2
    for index, (name, strips) in enumerate(sides):
        if len(strips) > _FEW:
            body += _crowd(index, name, strips, scale, y - _ROW / 2)
            y += _CROWD * _ROW
            continue
        for count, strip in enumerate(strips, 1):
            label = f"{name} {count}" if len(strips) > 1 else name
            label += "" if strip.build is None else f", b{strip.build}"
            body.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:g}" text-anchor="end">{escape(label)}</text>')
            if strip.quantiles is not None:
                a, b, c, d = (scale(value) for value in strip.quantiles)
                body.append(f'<path class="range s{index}" d="M{a:.1f} {y:g}H{d:.1f}"/>')
                body.append(f'<path class="box s{index}" d="M{b:.1f} {y:g}H{max(c, b + 0.5):.1f}"/>')
            body.append(marker(index, scale(strip.median), y, f"{label}: median {seconds(strip.median)}"))
            y += _ROW
    said = "; ".join(f"{name}: {', '.join(seconds(s.median) for s in strips)}" for name, strips in sides)
    return element(_WIDTH, bottom + 26, title, f"Medians of each replicate. {said}", "".join(body))


def _crowd(index: int, name: str, strips: Sequence[Strip], scale: Scale, top: float) -> list[str]:
    """Many replicates as marks in one band, the first at its top: what drifts during a run is seen as a slope."""
    height = _CROWD * _ROW - 14
    label = f"{name} ({len(strips)})"
    parts = [
        f'<text class="tick" x="{_LEFT - 8}" y="{top + height / 2 + 10:g}" text-anchor="end">{escape(label)}</text>'
    ]
    for row, strip in enumerate(strips):
        y = top + 7 + height * row / (len(strips) - 1)
        parts.append(marker(index, scale(strip.median), y, f"{name} {row + 1}: median {seconds(strip.median)}"))
    return parts


def _scale(low: float, high: float, logarithmic: bool) -> Scale:
    return make_scale(low, high, _LEFT, _WIDTH - _RIGHT, logarithmic)


def _tick_labels(places: Sequence[tuple[float, str]], y: float) -> list[str]:
    """Labels below an axis, those left out that would touch the one before; the last ends within the picture."""
    parts, free = [], 0.0
    for x, label in places:
        half = len(label) * 4.5
        x = min(x, _WIDTH - half)
        if x - half < free:
            continue
        free = x + half + 8
        parts.append(f'<text class="tick" x="{x:.1f}" y="{y:g}" text-anchor="middle">{escape(label)}</text>')
    return parts


def bounds_plot(outcome: Outcome) -> str:
    """The change with its bounds beside the margin; to the right is worse. Empty where it has neither."""
    if outcome.change is None or (outcome.upper is None and outcome.margin is None):
        return ""
    low = outcome.lower if outcome.lower is not None else outcome.change
    high = outcome.upper if outcome.upper is not None else outcome.change
    margin = outcome.margin
    values = [0.0, low, high, outcome.change, *([margin] if margin is not None else [])]
    start, end = padded(min(values), max(values))
    scale = _scale(start, end, False)
    body = []
    for tick in ticks(start, end, 4):
        if start <= tick <= end:
            body.append(f'<path class="grid" d="M{scale(tick):.1f} 22V62"/>')
    shown = [(scale(tick), outcome.shown_change(tick)) for tick in ticks(start, end, 4) if start <= tick <= end]
    body += _tick_labels(shown, 80)
    body.append(f'<path class="zero" d="M{scale(0.0):.1f} 22V62"/>')
    body.append(f'<text class="tick" x="{_LEFT - 8}" y="46" text-anchor="end">change</text>')
    if margin is not None:
        word = "tolerance" if outcome.metric == ACCURACY else "margin"
        x = scale(margin)
        anchor = "end" if x > _WIDTH * 0.7 else "middle"
        body.append(f'<path class="margin" d="M{x:.1f} 20V62"/>')
        body.append(
            f'<text class="tick" x="{x:.1f}" y="14" text-anchor="{anchor}">{word} {outcome.shown_amount(margin)}</text>'
        )
    kind = _kind(outcome)
    body.append(f'<path class="range s{kind}" d="M{scale(low):.1f} 42H{max(scale(high), scale(low) + 0.5):.1f}"/>')
    said = f"change {outcome.shown_change(outcome.change)}"
    if outcome.lower is not None and outcome.upper is not None:
        said += f", between {outcome.shown_change(low)} and {outcome.shown_change(high)}"
    body.append(marker(kind, scale(outcome.change), 42, said))
    return element(_WIDTH, 90, f"Change of {outcome.case}", said, "".join(body))


def _kind(outcome: Outcome) -> int:
    """Colour and shape of a change: what fails is a square, what improved a triangle, all else a dot."""
    return 1 if outcome.verdict in FAILING else 2 if outcome.verdict is Verdict.IMPROVED else 0


def change_mark(outcome: Outcome) -> str:
    """The same in a table's row: bounds and change in widths of the margin, the margin dashed, 0 in the middle."""
    if outcome.change is None or not outcome.margin or outcome.margin <= 0:
        return ""
    margin = outcome.margin
    low = outcome.lower if outcome.lower is not None else outcome.change
    high = outcome.upper if outcome.upper is not None else outcome.change
    scale = make_scale(-2.0, 2.0, 4, 116, False)

    def x(value: float) -> float:
        return scale(min(max(value / margin, -2.0), 2.0))

    kind = _kind(outcome)
    said = f"change {outcome.shown_change(outcome.change)}, margin {outcome.shown_amount(margin)}"
    body = (
        f'<path class="grid" d="M60 1V17"/><path class="margin" d="M{scale(1.0):g} 1V17"/>'
        f'<path class="range s{kind}" d="M{x(low):.1f} 9H{max(x(high), x(low) + 0.5):.1f}"/>'
        + marker(kind, x(outcome.change), 9, said)
    )
    return f'<svg class="chart mark" viewBox="0 0 120 18" role="img"><title>{escape(said)}</title>{body}</svg>'


def split_bar(sides: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> str:
    """Medians of the parts of a batch's time, a bar for head and one for base; parts that are 0 are only in the words.

    The longest bar is as wide as the picture.
    """
    totals = {name: sum(value for _, value in parts) for name, parts in sides}
    sides = [(name, parts) for name, parts in sides if totals[name] > 0]
    if not sides:
        return ""
    left = 44.0 if len(sides) > 1 else 4.0
    scale = make_scale(0.0, max(totals.values()), 0.0, _WIDTH - 4 - left, False)
    y, body, said = 4.0, [], []
    for side, parts in sides:
        words = [_part_in_words(*part, totals[side]) for part in parts]
        label = f'<text class="tick" x="{left - 8:g}" y="{y + 15:g}" text-anchor="end">{side}</text>'
        body += [label] if len(sides) > 1 else []
        body += _bar([(name, scale(value), word) for (name, value), word in zip(parts, words, strict=True)], left, y)
        at, y = 4.0, y + 42
        for index, word in enumerate(words):
            if at > 4 and at + 24 + len(word) * 7.9 > _WIDTH:
                at, y = 4.0, y + 20
            body.append(f'<rect class="f{index}" x="{at:.1f}" y="{y - 10:g}" width="11" height="11" rx="2"/>')
            body.append(f'<text class="tick" x="{at + 17:.1f}" y="{y:g}">{escape(word)}</text>')
            at += 30 + len(word) * 7.9
        y += 16
        said.append(f"{side}: {'; '.join(words)}")
    return element(_WIDTH, y - 6, "Where the time of a batch goes", ". ".join(said), "".join(body))


def _part_in_words(name: str, value: float, total: float) -> str:
    return f"{name} {seconds(value)} ({value / total:.1%})" if value > 0 else f"{name} 0"


def _bar(parts: Sequence[tuple[str, float, str]], x: float, y: float) -> list[str]:
    """(name, width, words) of each part, beside each other from `x` on."""
    body = []
    for index, (name, width, words) in enumerate(parts):
        if width > 0:
            body.append(
                f'<rect class="f{index}" x="{x:.1f}" y="{y:g}" width="{max(width, 1):.1f}" height="22" rx="2">'
                f"<title>{escape(words)}</title></rect>"
            )
            if width > 10 + 7.5 * len(name):  # which part it is, also without its colour
                body.append(
                    f'<text class="inside" x="{x + width / 2:.1f}" y="{y + 15:g}" text-anchor="middle">{name}</text>'
                )
            x += width
    return body


_BARS_LEFT, _BARS_RIGHT, _BAR_ROW = 168, 76, 22
_LETTERS = 19  # of a name that fit left of the bars, also where letters are larger
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
    scale = make_scale(
        low, high, _BARS_LEFT + (_BARS_RIGHT if low < 0 else 8), _WIDTH - (_BARS_RIGHT if high > 0 else 8), False
    )
    bottom = 6 + _BAR_ROW * len(told)
    body = []
    for index, (name, delta) in enumerate(told):
        y = 6 + _BAR_ROW * index
        kind, (start, end) = (1, (0.0, delta)) if delta > 0 else (2, (delta, 0.0))
        x, width = scale(start), max(scale(end) - scale(start), 1.0)
        shown = name if len(name) <= _LETTERS else f"{name[: _LETTERS // 2]}…{name[1 - _LETTERS // 2 :]}"
        where, anchor = (x + width + 5, "start") if delta > 0 else (x - 5, "end")
        body.append(
            f'<text class="tick" x="{_BARS_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(shown)}'
            f"<title>{escape(name)}</title></text>"
            f'<rect class="f{kind}" x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{_BAR_ROW - 8}" rx="2"/>'
            f'<text class="label" x="{where:.1f}" y="{y + 14}" text-anchor="{anchor}">{signed(delta)}</text>'
        )
    body.append(f'<path class="zero" d="M{scale(0.0):.1f} 2V{bottom}"/>')
    said = "; ".join(f"{name} {signed(delta)}" for name, delta in told)
    return element(_WIDTH, bottom + 4, title, said, "".join(body))
