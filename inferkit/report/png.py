"""Charts as PNG files, by matplotlib, which is wanted for nothing else and so is an extra."""

from __future__ import annotations

import io
from typing import Any

from inferkit.errors import UsageError
from inferkit.report.chart import Chart
from inferkit.report.palette import DASHES, LIGHT
from inferkit.report.svg import series_kind

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
        kind = series_kind(index, chart.series)
        joined = not chart.categories
        axes.plot(
            [x for x, _ in series.points],
            [y for _, y in series.points],
            label=_plain(series.name),
            color=LIGHT[kind],
            linestyle=":" if series.limit else ("--" if DASHES[kind] else "-") if joined else "none",
            marker="none" if series.limit and joined else _MARKERS[kind % len(_MARKERS)],
        )
    _scales(axes, chart)
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
    axes.set_title(_plain(chart.title), parse_math=False)
    axes.grid(axis="y", alpha=0.4)
    axes.legend(frameon=False, fontsize="small")
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()


def _scales(axes: Any, chart: Chart) -> None:
    xs = [x for series in chart.series for x, _ in series.points]
    ys = [y for series in chart.series for _, y in series.points]
    if chart.categories:
        axes.set_xticks(range(len(chart.categories)), [_plain(name) for name in chart.categories])
        axes.set_xlim(-0.5, len(chart.categories) - 0.5)
    elif min(xs) > 0 and max(xs) / min(xs) >= 8:
        axes.set_xscale("log")
    if chart.x_at_points:
        axes.set_xticks(sorted(set(xs)), [f"{x:g}" for x in sorted(set(xs))])
        axes.minorticks_off()
    if min(ys) > 0 and max(ys) / min(ys) >= 50:
        axes.set_yscale("log")
    elif chart.from_zero:
        axes.set_ylim(bottom=0)


def _plain(text: str) -> str:
    """Text that matplotlib shows as it is: no mathematics between dollar signs, no hidden label, one line."""
    short = " ".join(text.split())[:80]
    return ("\u200b" if short.startswith("_") else "") + short.replace("$", r"\$")
