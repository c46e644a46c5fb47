"""What a case looked like over time: its iterations, and the GPU's clock, power, temperature and clock reasons beside.

One block per replicate, side by side with the same seconds per width, base dashed over head; one panel per figure,
below each other. A figure that the run does not have has no panel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferkit.gate.units import seconds
from inferkit.measure.machine.gpu import DISTURBING
from inferkit.report.charts.svg import element, log_ticks, make_scale, padded, short, ticks
from inferkit.report.escape import escape
from inferkit.report.facts import mapping, mappings, number

_WIDTH, _LEFT, _RIGHT = 520, 96, 18
_PANEL, _BETWEEN, _GAP = 46, 26, 10
_CHARACTER = 7.9  # as in svg.py: what a character takes where the page is narrow and its letters larger
_REASON_ROW = 17
_MOST_REASONS = 6
_LINES = ("thin s0", "thin s1 d2")  # of head and of base
_FIGURES = (("SM clock", "sm_mhz", "MHz"), ("power", "power_watts", "W"), ("temperature", "temperature", "°C"))
_MOST_POINTS = 240  # of one panel: what a file of another program could bring without end

Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Panel:
    """One figure over time: (seconds, value) of each replicate of head and of base; it cannot pass `limit`."""

    title: str
    curves: tuple[Curve, ...]
    unit: str = ""
    limit: float | None = None
    base: tuple[Curve, ...] = ()

    @property
    def values(self) -> list[float]:
        """Every value, of base too."""
        return [value for curve in (*self.curves, *self.base) for _, value in curve]


@dataclass(frozen=True)
class Reason:
    """A clock event reason: at which seconds of each replicate it was read."""

    name: str
    seen: tuple[tuple[float, ...], ...]

    @property
    def disturbs(self) -> bool:
        """Whether it makes a measurement say nothing."""
        return self.name in DISTURBING


@dataclass(frozen=True)
class OverTime:
    """Everything that is known of a case over time."""

    panels: tuple[Panel, ...]
    reasons: tuple[Reason, ...]


def over_time(
    facts: Mapping[str, Any],
    pace: Sequence[Curve],
    base_facts: Sequence[Mapping[str, Any]] = (),
    base_pace: Sequence[Curve] = (),
) -> OverTime:
    """What a case's facts and the pace of its iterations, (seconds, seconds) of each replicate, tell over time.

    `base_facts` are those of each run that base consists of.
    """
    gpus = [mapping(replicate, "gpu") for replicate in mappings(facts, "replicates")]
    series = [mapping(gpu, "series") for gpu in gpus]
    base = [mapping(mapping(each, "gpu"), "series") for run in base_facts for each in mappings(run, "replicates")]
    limits = [limit for gpu in gpus if (limit := number(gpu, "power_limit_watts")) is not None]
    found = [Panel("iterations", tuple(pace), base=tuple(base_pace))]
    for title, name, unit in _FIGURES:
        limit = max(limits, default=None) if name == "power_watts" else None
        curves, of_base = (tuple(_curve(each, name) for each in side) for side in (series, base))
        found.append(Panel(title, curves, unit, limit, of_base))
    panels = tuple(panel for panel in found if any(len(curve) > 1 for curve in panel.curves))
    return OverTime(panels, _reasons(series) if panels else ())


def _times(series: Mapping[str, Any]) -> list[float | None]:
    told = series.get("at")
    return [number({"at": value}, "at") for value in told[:_MOST_POINTS]] if isinstance(told, list) else []


def _curve(series: Mapping[str, Any], name: str) -> Curve:
    told = series.get(name)
    if not isinstance(told, list):
        return ()
    values = [number({name: value}, name) for value in told[:_MOST_POINTS]]
    pairs = zip(_times(series), values, strict=False)
    return tuple((at, value) for at, value in pairs if at is not None and at >= 0 and value is not None)


def _reasons(series: Sequence[Mapping[str, Any]]) -> tuple[Reason, ...]:
    seen: dict[str, list[list[float]]] = {}
    for position, each in enumerate(series):
        told = each.get("reasons")
        for at, names in zip(_times(each), told if isinstance(told, list) else [], strict=False):
            for name in names if isinstance(names, list) and at is not None else []:
                if isinstance(name, str) and name != "idle":
                    seen.setdefault(name[:60], [[] for _ in series])[position].append(at or 0.0)
    found = [Reason(name, tuple(map(tuple, times))) for name, times in seen.items()]
    found.sort(key=lambda reason: not reason.disturbs)  # what spoils a measurement comes first
    return tuple(found[:_MOST_REASONS])


def draw_over_time(told: OverTime, title: str, points: int = 120) -> str:
    """The panels as one picture, of some `points` each; empty where nothing is known."""
    if not told.panels:
        return ""
    count = max(max(len(panel.curves), len(panel.base)) for panel in told.panels)
    lengths = [max(_lengths(told, position), default=0.0) for position in range(count)]
    blocks = _blocks(lengths)
    body = [_names(blocks)]
    y = 38.0
    for panel in told.panels:
        body += _panel(panel, blocks, y, max(points // len(blocks), 8))
        y += _PANEL + _BETWEEN
    if told.reasons:
        body.append(f'<text class="label" x="{_LEFT}" y="{y + 2:g}">clock reasons</text>')
        y += 8
        for reason in told.reasons:
            body += _reason(reason, blocks, y)
            y += _REASON_ROW
        y += 10
    if any(curve for panel in told.panels for curve in panel.base):
        body.append(_legend(y + 2))
        y += _REASON_ROW
    said = "; ".join(f"{panel.title}: {_range(panel)}" for panel in told.panels)
    return element(_WIDTH, y + 2, title, said, "".join(body))


def _legend(y: float) -> str:
    """Which line is head's and which is base's."""
    parts = []
    for index, (name, x) in enumerate((("head", _LEFT), ("base", _LEFT + 90))):
        parts.append(f'<path class="{_LINES[index]}" d="M{x} {y:g}h24"/>')
        parts.append(f'<text class="tick" x="{x + 30}" y="{y + 4:g}">{name}</text>')
    return "".join(parts)


@dataclass(frozen=True)
class _Block:
    """The stretch of one replicate: from `start` (units of the viewBox), `scale` of them per second."""

    start: float
    scale: float
    seconds: float

    def x(self, at: float) -> float:
        return self.start + min(at, self.seconds) * self.scale


def _lengths(told: OverTime, position: int) -> list[float]:
    curves = [side[position] for panel in told.panels for side in (panel.curves, panel.base) if position < len(side)]
    return [curve[-1][0] for curve in curves if curve]


def _blocks(lengths: Sequence[float]) -> list[_Block]:
    gap = min(_GAP, 0.3 * (_WIDTH - _RIGHT - _LEFT) / len(lengths))
    room = _WIDTH - _RIGHT - _LEFT - gap * (len(lengths) - 1)
    scale = room / (sum(lengths) or 1.0)
    blocks, x = [], float(_LEFT)
    for length in lengths:
        blocks.append(_Block(x, scale, length))
        x += length * scale + gap
    return blocks


def _names(blocks: Sequence[_Block]) -> str:
    parts, free = [], 0.0
    for position, block in enumerate(blocks, 1):
        words = (f"replicate {position}: {block.seconds:.2g} s", f"{position}: {block.seconds:.2g} s", str(position))
        room = block.seconds * block.scale
        label = next((each for each in words if len(each) * _CHARACTER < room), words[-1])
        if block.start >= free:
            parts.append(f'<text class="tick" x="{block.start:.1f}" y="11">{label}</text>')
            free = block.start + len(label) * _CHARACTER
    return "".join(parts)


def _panel(panel: Panel, blocks: Sequence[_Block], top: float, points: int) -> list[str]:
    values = panel.values
    show = seconds if panel.title == "iterations" else short
    logarithmic = min(values) > 0 and max(values) / min(values) > 8
    if logarithmic:
        low, high = min(values) / 1.15, max(values) * 1.15
        marks = log_ticks(low, high)
    else:
        low, high = padded(min(values), max(values))
        marks = [tick for tick in ticks(low, high, 3) if low <= tick <= high]
    scale = make_scale(low, high, top + _PANEL, top, logarithmic)
    unit = f", {panel.unit}" if panel.unit else ""
    parts = [f'<text class="label" x="{_LEFT}" y="{top - 4:g}">{panel.title}{unit}</text>']
    free = top + _PANEL
    for tick in marks:
        y = scale(tick)
        if y > free:  # its label would lie on the one below
            continue
        free = y - 13
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{show(tick)}</text>')
    if panel.limit is not None and low <= panel.limit <= high:
        y = scale(panel.limit)
        parts.append(f'<path class="margin" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"><title>limit</title></path>')
    for side, line in zip((panel.curves, panel.base), _LINES, strict=True):
        for block, curve in zip(blocks, side, strict=False):
            if curve:
                kept = thinned(curve, points)
                path = "L".join(f"{block.x(at):.0f} {scale(value):.1f}" for at, value in kept)
                end = "h2" if len(curve) == 1 else ""
                parts.append(f'<path class="{line}" d="M{path}{end}"/>')
    return parts


def thinned(curve: Curve, most: int) -> Curve:
    """At most `most` points (4 or more): both ends, and of each stretch between the lowest and the highest."""
    if len(curve) <= most:
        return curve
    inner, stretches = curve[1:-1], (most - 2) // 2
    kept = [curve[0]]
    for index in range(stretches):
        part = inner[index * len(inner) // stretches : (index + 1) * len(inner) // stretches]
        ends = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
        kept += sorted(ends)
    return (*kept, curve[-1])


def _reason(reason: Reason, blocks: Sequence[_Block], y: float) -> list[str]:
    kind, name = "1" if reason.disturbs else "6", reason.name.replace("_", " ")
    shown = name.replace("hardware", "HW").replace("software", "SW").replace("application", "app")
    shown = shown if len(shown) <= 13 else shown[:12] + "…"
    parts = [
        f'<text class="tick" x="{_LEFT - 7}" y="{y + 10:g}" text-anchor="end">{escape(shown)}'
        f"<title>{escape(name)}</title></text>",
        f'<path class="grid" d="M{_LEFT} {y + 6:g}H{_WIDTH - _RIGHT}"/>',
    ]
    for block, times in zip(blocks, reason.seen, strict=False):
        marks = "".join(f"M{x} {y + 6:g}h3" for x in dict.fromkeys(round(block.x(at) - 1.5) for at in times))
        if marks:
            parts.append(f'<path class="tall s{kind}" d="{marks}"/>')
    return parts


def _range(panel: Panel) -> str:
    values = panel.values
    show = seconds if panel.title == "iterations" else (lambda value: f"{value:.4g} {panel.unit}".strip())
    return f"{show(min(values))} to {show(max(values))}"
