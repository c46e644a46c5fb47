"""Fills docs/study.md with tables, charts and sentences of the sweeps that are stored in docs/measured.

    python -m tools.build.study_page                 # reads docs/measured/study-*.json, writes docs/figures/study-*.svg
    python -m tools.build.study_page --check         # writes nothing; exit code 1 where the page is out of date

Sweeps of one network are shown together: FLOAT, HALF and INT8 of a GPU machine beside PyCaffe of another's CPU.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from inferkit.files import write_atomically
from inferkit.measure.latency.curves import findings, sentences
from inferkit.measure.latency.rounds import STEADY
from inferkit.report.charts.svg import draw
from inferkit.report.charts.sweep import Swept, SweptPoint, read_sweep, sweep_charts
from tools import ROOT

PAGE, MEASURED, FIGURES = ROOT / "docs" / "study.md", ROOT / "docs" / "measured", ROOT / "docs" / "figures"
TIMED, TRAINED = "vgg16", "fashion_vgg"
_MARK = " \\*"
_NOTHING = "No sweep of {} is stored in `docs/measured` yet."
_MARKED = r"(<!-- study:{0} -->\n).*?(<!-- study:end -->)"


def together(sweeps: Sequence[Swept]) -> Swept:
    """Sweeps of one network as one. ValueError where two of them have the same series, or none is given."""
    names = [name for sweep in sweeps for name in sweep.curves]
    if not sweeps or len(names) != len(set(names)):
        raise ValueError(f"series are swept twice: {', '.join(names)}" if sweeps else "no sweep is given")
    points = tuple(point for sweep in sweeps for point in sweep.points)
    accuracy = {name: each for sweep in sweeps for name, each in sweep.accuracy.items()}
    return replace(sweeps[0], points=points, accuracy=accuracy)


def timed_section(sweeps: Sequence[Swept], figures: dict[str, str]) -> str:
    """Setup, charts, tables and findings of the network that is timed; the charts' SVG goes to `figures` by name."""
    if not sweeps:
        return _NOTHING.format(TIMED)
    sweep = together(sweeps)
    parts = ["\n".join(f"- {_setup(each)}" for each in sweeps)]
    for chart in sweep_charts(sweep)[:2]:
        parts.append(
            _figure(chart.title, f"study-{chart.key.rpartition('-')[2]}", draw(chart, standalone=True), figures)
        )
    parts.append("Latency of a batch, median in ms\n\n" + _table(sweep, lambda p: f"{p.interval.median * 1e3:.3f}"))
    parts.append("Images per second\n\n" + _table(sweep, lambda p: f"{p.batch / p.interval.median:,.1f}"))
    if any(point.share is not None for point in sweep.points):
        shares = _table(sweep, lambda p: "" if p.share is None else f"{p.share:.0%}", bars=False)
        parts.append(f"Share of the card's limit, execution without copies\n\n{shares}")
    parts.append("\n".join(f"- {line}" for line in in_words(sweep)))
    return "\n\n".join(parts)


def accuracy_section(sweeps: Sequence[Swept], figures: dict[str, str]) -> str:
    """Top-1 and top-5 of the trained network, its chart, and what INT8 loses."""
    if not sweeps:
        return _NOTHING.format(TRAINED)
    sweep = together(sweeps)
    rows = [
        f"| {name} | {' | '.join(f'{s:.2f}' for s in a.shares)} | {a.images:,} |" for name, a in sweep.accuracy.items()
    ]
    table = "\n".join(["| | top 1, % | top 5, % | images |", "|---|---:|---:|---:|", *rows])
    charts = [chart for chart in sweep_charts(sweep) if chart.key.endswith("accuracy")]
    parts = [_figure(chart.title, "study-accuracy", draw(chart, standalone=True), figures) for chart in charts]
    return "\n\n".join(["\n".join(f"- {_setup(each)}" for each in sweeps), *parts, table])


def in_words(sweep: Swept) -> list[str]:
    """What the curves say together, and which points are not steady."""
    unsteady = []
    for point in sweep.points:
        if point.unsteady:
            # Whose processes they were is in the file: names of programs and their numbers say nothing to readers.
            reasons = "; ".join(reason.partition(" (")[0] for reason in point.unsteady)
            unsteady.append(f"not steady: {point.series} batch {point.batch}: {reasons}")
    return sentences(findings(sweep.curves)) + (
        unsteady or [f"every point is steady: its rounds lie within {STEADY:.0%}"]
    )


def _setup(sweep: Swept) -> str:
    names = ", ".join(sweep.curves)
    place = (
        f"{sweep.cpu}, {sweep.cpus} cores" if sweep.card is None else f"{sweep.card}, {sweep.backend} {sweep.version}"
    )
    return f"{sweep.model}, {names}: {place}, {sweep.rounds} rounds"


def _figure(title: str, name: str, svg: str, figures: dict[str, str]) -> str:
    figures[f"{name}.svg"] = svg + "\n"
    return f"![{title}](figures/{name}.svg)"


def _table(sweep: Swept, show: Callable[[SweptPoint], str], *, bars: bool = True) -> str:
    series = list(sweep.curves)
    by_place = {(point.series, point.batch): point for point in sweep.points}

    def cell(point: SweptPoint | None) -> str:
        if point is None:
            return ""
        bar = f" ±{point.interval.spread / 2:.1%}" if bars else ""
        return f"{show(point)}{bar}{_MARK if point.unsteady else ''}"

    rows = [
        f"| {batch} | {' | '.join(cell(by_place.get((name, batch))) for name in series)} |"
        for batch in sorted({point.batch for point in sweep.points})
    ]
    return "\n".join([f"| batch | {' | '.join(series)} |", "|---:|" + "---:|" * len(series), *rows])


def filled(page: str, sections: dict[str, str]) -> str:
    """The page with each section between its marks. ValueError where a mark is missing."""
    for name, content in sections.items():
        page, count = re.subn(_MARKED.format(name), partial(_between, content), page, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"the page has the mark study:{name} {count} times")
    return page


def _between(content: str, marks: re.Match[str]) -> str:
    return f"{marks[1]}{content}\n{marks[2]}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="sweeps (default: docs/measured/study-*.json)")
    parser.add_argument("--check", action="store_true", help="only compare")
    chosen = parser.parse_args(arguments)
    sweeps = [read_sweep(path) for path in chosen.files or sorted(MEASURED.glob("study-*.json"))]
    figures: dict[str, str] = {}
    sections = {
        "timed": timed_section([each for each in sweeps if each.model == TIMED], figures),
        "accuracy": accuracy_section([each for each in sweeps if each.model == TRAINED], figures),
    }
    contents = {PAGE: filled(PAGE.read_text(encoding="utf-8"), sections)}
    contents |= {FIGURES / name: svg for name, svg in figures.items()}
    stale = [path for path, text in contents.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if chosen.check:
        print("\n".join(f"{path} is out of date" for path in stale) or "up to date")
        return int(bool(stale))
    for path in stale:
        write_atomically(path, contents[path].encode())
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
