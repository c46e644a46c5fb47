"""What a sweep shows: tables of latency, throughput, share of the card's limit, accuracy; sentences on its curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.measure.latency.curves import Curve, findings, sentences

if TYPE_CHECKING:
    from rich.table import Table

    from inferkit.cli.sweep_points import SweepPoint

MARK = "*"


def curves_of(points: Sequence[SweepPoint]) -> dict[str, Curve]:
    """The intervals of what was timed, by series and batch size; a series without any is left out."""
    curves: dict[str, dict[int, Any]] = {}
    for point in points:
        if point.timing is not None and point.status == "ok":
            curves.setdefault(point.series, {})[point.batch_size] = point.timing.interval
    return dict(curves)


def print_tables(points: Sequence[SweepPoint]) -> None:
    """The study's three charts as tables, the share of the limit where the card is known, what is not steady, and what
    the curves say together."""
    from rich.console import Console

    console = Console()
    console.print(_by_batch("latency per batch, median in ms", points, lambda point: _timed(point, False)))
    console.print(_by_batch("throughput, images/sec", points, lambda point: _timed(point, True)))
    if any(point.share is not None for point in points):
        share = "share of the card's limit (execution without copies)"
        console.print(_by_batch(share, points, lambda point: None if point.share is None else f"{point.share:.1%}"))
    console.print(_accuracy(points))
    timings = [(point, point.timing) for point in points if point.timing is not None and point.status == "ok"]
    rounds, coverage = max(((len(timing.rounds), timing.coverage) for _, timing in timings), default=(0, 0.0))
    if rounds > 1:
        print(f"± half of what {rounds} rounds lie apart, which holds the median with {coverage:.0%} confidence")
    for point, timing in timings:
        if timing.unsteady():
            print(f"{MARK} not steady: {point.series} batch {point.batch_size}: {'; '.join(timing.unsteady())}")
    print("\n".join(sentences(findings(curves_of(points)))))


def _by_batch(title: str, points: Sequence[SweepPoint], cell: Callable[[SweepPoint], str | None]) -> Table:
    table = _table(title)
    series = list(dict.fromkeys(point.series for point in points))
    by_place = {(point.series, point.batch_size): point for point in points}
    table.add_column("batch", justify="right")
    for name in series:
        table.add_column(name, justify="right")
    for batch in sorted({point.batch_size for point in points}):
        cells = [(point := by_place.get((name, batch))) and cell(point) for name in series]
        table.add_row(str(batch), *(text or "-" for text in cells))
    return table


def _timed(point: SweepPoint, rate: bool) -> str | None:
    if point.timing is None or point.status != "ok":
        return None
    interval = point.timing.interval
    value = point.batch_size / interval.median if rate else interval.median * 1e3
    mark = MARK if point.timing.unsteady() else ""
    return f"{value:.{1 if rate else 3}f} ±{interval.spread / 2:.1%}{mark}"


def _accuracy(points: Sequence[SweepPoint]) -> Table:
    """Of each series the point with the most images, none of them counted twice if there is such a point."""
    table = _table("accuracy, percent")
    for heading in ("", "top 1", "top 5", "images"):
        table.add_column(heading, justify="right")
    for name in dict.fromkeys(point.series for point in points):
        counted = [(not p.repeated, p.stats.predictions, p.stats) for p in points if p.series == name and p.stats]
        if counted:
            stats = max(counted, key=lambda each: each[:2])[2]
            shares = [f"{100 * count / stats.predictions:.2f}" for count in (stats.correct_top1, stats.correct_top5)]
            table.add_row(name, *shares, str(stats.predictions))
    return table


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(title=title, box=box.SIMPLE_HEAD)
