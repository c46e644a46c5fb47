"""Charts as SVG: axes, lines with a marker and a dash of their own (never told apart by colour alone), a legend.

Colours are classes, so that the page's style (dark, light, print) decides; a file of its own brings the same style.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inferkit.report.charts.palette import SERIES, STANDALONE_STYLE
from inferkit.report.charts.study import Chart, Series
from inferkit.report.escape import escape

WIDTH, PLOT_HEIGHT = 520, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 16, 14, 46
_LEGEND_LINE = 20
SHAPES = 4
LOG_X, LOG_Y = 8.0, 50.0  # an axis whose values differ by this factor is logarithmic
_CHARACTER = 7.9  # the widest that a character of the legend's font gets, in units of the viewBox


def draw(chart: Chart, *, standalone: bool = False) -> str:
    """One `<svg>` element; `standalone` makes it a file that needs no page around it."""
    legend, rows = _legend(chart.series)
    height = _TOP + PLOT_HEIGHT + _BOTTOM + rows * _LEGEND_LINE
    body = [*_axes(chart), *_marks(chart), *legend]
    if standalone:
        body.insert(0, f"<style>{STANDALONE_STYLE}</style>")
        body.insert(1, f'<rect class="paper" width="{WIDTH}" height="{height + 26}"/>')
        body.insert(
            2, f'<text class="heading" x="{WIDTH / 2:g}" y="18" text-anchor="middle">{escape(chart.title)}</text>'
        )
        body[3:] = [f'<g transform="translate(0 26)">{"".join(body[3:])}</g>']
        height += 26
    return element(WIDTH, height, chart.title, describe(chart), "".join(body), standalone)


def element(width: float, height: float, title: str, description: str, body: str, standalone: bool = False) -> str:
    """An accessible `<svg>`: a screen reader hears title and description."""
    namespace = ' xmlns="http://www.w3.org/2000/svg"' if standalone else ""
    size = f' width="{width:g}" height="{height:g}"' if standalone else ""
    return (
        f'<svg{namespace}{size} class="chart" viewBox="0 0 {width:g} {height:g}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{body}</svg>"
    )


def alone(svg: str) -> str:
    """A picture of a page as a file that needs no page around it; empty where there is none."""
    found = re.match(r'<svg class="chart" viewBox="0 0 (\S+) (\S+)" role="img">', svg)
    if found is None:
        return ""
    width, height = found[1], found[2]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {found[0].removeprefix("<svg ")}'
    paper = f'<rect class="paper" width="{width}" height="{height}"/>'
    title, end, rest = svg[found.end() :].partition("</desc>")
    return f"{head}{title}{end}<style>{STANDALONE_STYLE}</style>{paper}{rest}"


def describe(chart: Chart) -> str:
    """The figures of a chart in words."""
    parts = []
    for series in chart.series:
        points = ", ".join(f"{_x_text(chart, x)}: {y:.4g}" for x, y in series.points)
        parts.append(f"{series.name}: {points}")
    return f"{chart.y_label} by {chart.x_label}. " + "; ".join(parts)


def _x_text(chart: Chart, x: float) -> str:
    return chart.categories[int(x)] if chart.categories else f"{x:.4g}"


Scale = Callable[[float], float]


def scales(chart: Chart) -> tuple[Scale, Scale, Sequence[float], Sequence[float]]:
    """Where x and y are in the viewBox, and the ticks of both axes."""
    xs = [x for series in chart.series for x, _ in series.points]
    ys = heights(chart)
    right, bottom = WIDTH - _RIGHT, _TOP + PLOT_HEIGHT
    if chart.categories:
        step = (right - _LEFT) / len(chart.categories)
        x_scale: Scale = lambda x: _LEFT + (x + 0.5) * step  # noqa: E731
        x_ticks: Sequence[float] = range(len(chart.categories))
    else:
        logarithmic = is_logarithmic(xs, LOG_X)
        low, high = (min(xs), max(xs)) if logarithmic else (min(0.0, min(xs)), max(xs))
        x_scale = make_scale(low, high, _LEFT + 12, right - 12, logarithmic)
        x_ticks = sorted(set(xs)) if chart.x_at_points else log_ticks(low, high) if logarithmic else ticks(low, high)
    logarithmic = is_logarithmic(ys, LOG_Y)
    if logarithmic:
        low, high = min(ys) / 1.3, max(ys) * 1.3
        y_ticks = log_ticks(low, high)
    else:
        low, high = (0.0, max(ys)) if chart.from_zero else padded(min(ys), max(ys))
        y_ticks = ticks(low, high)
        low, high = min(low, y_ticks[0]), max(high * 1.04 if chart.from_zero else high, y_ticks[-1])
    return x_scale, make_scale(low, high, bottom, _TOP, logarithmic), x_ticks, y_ticks


def heights(chart: Chart) -> list[float]:
    """Every y that is drawn: those of the points and the ends of their error bars."""
    points = [y for series in chart.series for _, y in series.points]
    return points + [y for series in chart.series for bar in series.bars for y in bar]


def is_logarithmic(values: Sequence[float], least: float) -> bool:
    """Whether an axis of these values is logarithmic: all above 0, the largest `least` times the smallest."""
    return min(values) > 0 and max(values) / min(values) >= least


def padded(low: float, high: float) -> tuple[float, float]:
    """A range with room around it."""
    room = (high - low) * 0.12 or abs(high) * 0.01 or 1.0
    return low - room, high + room


def make_scale(low: float, high: float, start: float, end: float, logarithmic: bool) -> Scale:
    """Where a value between `low` and `high` is between `start` and `end`."""
    if logarithmic:
        a, b = math.log(low), math.log(high)
        return lambda value: start + (math.log(value) - a) / ((b - a) or 1.0) * (end - start)
    return lambda value: start + (value - low) / ((high - low) or 1.0) * (end - start)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values (1, 2, 2.5 or 5 times a power of ten apart) within a range."""
    span = (high - low) or abs(high) or 1.0
    rough = span / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round((first + index) * step, 12) for index in range(math.floor(high / step + 1e-9) - first + 1)] or [low]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten within a range, the powers alone where that is too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1,)):
        found = [factor * 10.0**power for power in powers for factor in factors]
        found = [value for value in found if low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)]
        if 2 <= len(found) <= 8:
            return found
    return found or [low, high]


def _axes(chart: Chart) -> list[str]:
    x_scale, y_scale, x_ticks, y_ticks = scales(chart)
    right, bottom = WIDTH - _RIGHT, _TOP + PLOT_HEIGHT
    parts = []
    for value in y_ticks:
        y = y_scale(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    last = -1e9
    for value in x_ticks:
        x = x_scale(value)
        label = chart.categories[int(value)] if chart.categories else short(value)
        if x - last < len(label) * _CHARACTER + 8:
            continue
        last = x
        parts.append(f'<path class="axis" d="M{x:.1f} {bottom}v5"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 19}" text-anchor="middle">{escape(label)}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text class="label" x="{middle:g}" y="{bottom + 38}" text-anchor="middle">{chart.x_label}</text>')
    parts.append(
        f'<text class="label" transform="translate(14 {_TOP + PLOT_HEIGHT / 2:g}) rotate(-90)" '
        f'text-anchor="middle">{chart.y_label}</text>'
    )
    return parts


def short(value: float) -> str:
    """A tick's label: 12000 is `12k`."""
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= scale * (10 if unit == "k" else 1):
            return f"{value / scale:g}{unit}"
    return f"{value:g}"


def _marks(chart: Chart) -> list[str]:
    x_scale, y_scale, _, _ = scales(chart)
    parts = []
    shift = 0.0
    for index, series in enumerate(chart.series):
        its = look(index, chart.series)
        kind, dash = its.color, "limit" if series.limit else f"d{its.dash}"
        if chart.categories:
            shift = (index - (len(chart.series) - 1) / 2) * 14
        placed = [(x_scale(x) + shift, y_scale(y)) for x, y in series.points]
        if not chart.categories and len(placed) > 1:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
            parts.append(f'<path class="line s{kind} {dash}" d="M{path}"/>')
        if series.limit and len(placed) > 1:
            continue
        for (x, _), (low, high) in zip(placed, series.bars, strict=False):
            parts.append(f'<path class="line bar s{kind}" d="{_bar(x, y_scale(low), y_scale(high))}"/>')
        for number, (x, y) in enumerate(placed):
            where = (
                series.notes[number] if series.notes else f"{chart.x_label} {_x_text(chart, series.points[number][0])}"
            )
            said = f"{series.name}, {where}"
            value = series.points[number][1]
            title = f"{said}: {value:.4g} {chart.y_label}"
            parts.append(marker(kind, x, y, title, its.shape, hollow=number in series.unsteady))
            if chart.categories and len(chart.series) <= 2:  # more would lie on each other
                parts.append(f'<text class="tick" x="{x + 9:.1f}" y="{y + 4:.1f}">{value:.4g}</text>')
    return parts


@dataclass(frozen=True)
class Look:
    """How a series is told from the others: the numbers of its colour, its marker and its dash."""

    color: int
    shape: int
    dash: int


def look(index: int, series: Sequence[Series]) -> Look:
    """The look of a series; a limit has the colour of the series it limits.

    Where the colours start again, marker and dash are others: as many series as a run has stay apart.
    """
    if series[index].limit:
        bare = series[index].name.removeprefix("limit ")
        index = next((number for number, each in enumerate(series) if each.name == bare), index)
    again, color = divmod(index, SERIES)
    return Look(color, (color + again) % SHAPES, (color + 2 * again) % SERIES)


def _bar(x: float, low: float, high: float) -> str:
    """An error bar with its caps."""
    return f"M{x - 4:.1f} {low:.1f}h8M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {high:.1f}h8"


def marker(color: int, x: float, y: float, title: str, shape: int | None = None, *, hollow: bool = False) -> str:
    """A point, with what it stands for. Each colour has a shape of its own, unless another is asked for."""
    shapes = (
        f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0",
        f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z",
        f"M{x:.1f} {y - 5:.1f}l5 9h-10z",
        f"M{x:.1f} {y - 5.5:.1f}l5.5 5.5l-5.5 5.5l-5.5 -5.5z",
    )
    path = shapes[(color if shape is None else shape) % SHAPES]
    look = f"open s{color}" if hollow else f"dot f{color}"
    return f'<path class="{look}" d="{path}"><title>{escape(title)}</title></path>'


def _legend(series: Sequence[Series]) -> tuple[list[str], int]:
    """The legend below the axes, and how many lines it takes."""
    parts, row, x = [], 0, float(_LEFT)
    for index, each in enumerate(series):
        name = each.name if len(each.name) <= 48 else each.name[:47] + "…"
        width = 34 + len(name) * _CHARACTER
        if x > _LEFT and x + width > WIDTH - _RIGHT:
            row, x = row + 1, float(_LEFT)
        y = _TOP + PLOT_HEIGHT + _BOTTOM + 8 + row * _LEGEND_LINE
        its = look(index, series)
        dash = "limit" if each.limit else f"d{its.dash}"
        parts.append(f'<path class="line s{its.color} {dash}" d="M{x:.1f} {y:.1f}h24"/>')
        if not each.limit:
            parts.append(marker(its.color, x + 12, y, each.name, its.shape))
        parts.append(f'<text class="tick" x="{x + 30:.1f}" y="{y + 4:.1f}">{escape(name)}</text>')
        x += width + 10
    return parts, row + 1
