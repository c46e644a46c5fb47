"""Charts as PNG files, by matplotlib, which is wanted for nothing else and so is an extra."""

from __future__ import annotations

import io
from typing import Any

from inferkit.errors import UsageError
from inferkit.report.charts.palette import DASHES, LIGHT
from inferkit.report.charts.study import Chart
from inferkit.report.charts.svg import LOG_X, LOG_Y, heights, is_logarithmic, look, scales, short

_MARKERS = ("o", "s", "^", "D")


def draw_png(chart: Chart) -> bytes:
    """The file's content, 1040 × 700 pixels. UsageError where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            f"PNG needs matplotlib ({error}); pip install matplotlib, or leave --png out for SVG"
        ) from error
    figure = Figure(figsize=(6.5, 4.375), dpi=160, layout="constrained")
    axes: Any = figure.add_subplot()
    for index, series in enumerate(chart.series):
        its = look(index, chart.series)
        joined = not chart.categories
        axes.plot(
            [x for x, _ in series.points],
            [y for _, y in series.points],
            label=_plain(series.name),
            color=LIGHT[its.color],
            linestyle=":" if series.limit else _dash(its.dash) if joined else "none",
            marker="none" if series.limit and joined else _MARKERS[its.shape],
        )
        for (x, _), (low, high) in zip(series.points, series.bars, strict=False):
            axes.plot([x, x], [low, high], color=LIGHT[its.color], linewidth=1, marker="_")
        hollow = [series.points[number] for number in sorted(series.unsteady)]
        axes.plot(
            [x for x, _ in hollow],
            [y for _, y in hollow],
            color=LIGHT[its.color],
            linestyle="none",
            marker=_MARKERS[its.shape],
            markerfacecolor="white",
        )
        if chart.categories and len(chart.series) <= 2:
            for x, y in series.points:
                axes.annotate(f"{y:.4g}", (x, y), (9, 0), textcoords="offset points", va="center", fontsize="small")
    _ticks(axes, chart)
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
    axes.set_title(_plain(chart.title), parse_math=False)
    axes.grid(axis="y", alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()


def _dash(which: int) -> Any:
    """The SVG's dash in matplotlib's words."""
    lengths = [float(length) / 2 for length in DASHES[which].split()]
    return (0, lengths) if lengths else "-"


def _ticks(axes: Any, chart: Chart) -> None:
    """Scales and ticks as the SVG has them."""
    xs = [x for series in chart.series for x, _ in series.points]
    ys = heights(chart)
    _, _, x_ticks, y_ticks = scales(chart)
    if chart.categories:
        axes.set_xlim(-0.5, len(chart.categories) - 0.5)
    elif is_logarithmic(xs, LOG_X):
        axes.set_xscale("log")
    if is_logarithmic(ys, LOG_Y):
        axes.set_yscale("log")
    elif chart.from_zero:
        axes.set_ylim(bottom=0)
    names = [_plain(name) for name in chart.categories] or [short(x) for x in x_ticks]
    axes.set_xticks(list(x_ticks), names)
    axes.set_yticks(list(y_ticks), [short(y) for y in y_ticks])
    axes.minorticks_off()


def _plain(text: str) -> str:
    """Text that matplotlib shows as it is: no mathematics between dollar signs, no hidden label, one line."""
    short = " ".join(text.split())[:80]
    return ("\u200b" if short.startswith("_") else "") + short.replace("$", r"\$")
