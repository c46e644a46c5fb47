"""Charts as plain data, made from a run: the study's three for every network, and latency against throughput.

Nothing is drawn here. A chart without figures, or of one dot, is not made: it would look like a result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from inferkit.gate.run import Run
from inferkit.network.network import PRECISIONS
from inferkit.report.facts import accuracy_facts, mapping, number, text, unit_of


@dataclass(frozen=True)
class Series:
    """Points (x, y) in order. `limit` is a line that nothing can be above (or below), drawn dashed.

    `bars` are the error bars of the points, from y to y, where there are any; `unsteady` numbers the points that are
    drawn hollow.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    notes: tuple[str, ...] = ()
    limit: bool = False
    bars: tuple[tuple[float, float], ...] = ()
    unsteady: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Chart:
    """What is drawn. With `categories`, x counts them from 0 and points are not joined. `group` is the network."""

    key: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    categories: tuple[str, ...] = ()
    x_at_points: bool = False
    from_zero: bool = True
    group: str = ""

    @property
    def has_course(self) -> bool:
        """Whether something leads from one place on its x axis to another: single dots say no more than a table."""
        longest = max((len(series.points) for series in self.series if not series.limit), default=0)
        return longest > 0 and len(self.categories) > 1 if self.categories else longest > 1


@dataclass(frozen=True)
class Point:
    """A latency case as the charts see it: seconds of a batch of `unit`, and the least that the hardware allows."""

    model: str
    line: str
    order: tuple[int, str, str]
    batch: int
    seconds: float
    limit: float | None
    unit: str


def charts_of(run: Run) -> tuple[Chart, ...]:
    """Every chart that a run has figures for, more than one, network by network."""
    points = _points(run)
    charts: list[Chart] = []
    for model in dict.fromkeys([*(point.model for point in points), *_models(run)]):
        found = _latency_charts(model, [point for point in points if point.model == model])
        charts += [replace(chart, group=model) for chart in (*found, *_accuracy_chart(model, run))]
    return tuple(chart for chart in charts if chart.has_course)


def _models(run: Run) -> Iterable[str]:
    return (text(facts, "model") or name for name, facts in accuracy_facts(run).items())


def _points(run: Run) -> list[Point]:
    found = []
    for case in run.cases.values():
        facts = case.facts
        if "service" in facts:  # its batches are as large as the load makes them
            continue
        batch, seconds = number(facts, "batch_size"), number(facts, "centre")
        model, precision, backend = (text(facts, key) for key in ("model", "precision", "backend"))
        if not (batch and seconds and model and precision and backend) or batch < 1 or seconds <= 0:
            continue
        mode = text(facts, "mode") or "latency"
        line = f"{precision} {backend}" if mode == "latency" else f"{precision} {backend} {mode}"
        order = (_rank(precision), backend, mode)
        found.append(Point(model, line, order, int(batch), seconds, _limit(facts), unit_of(facts)))
    return found


def _limit(facts: Mapping[str, object]) -> float | None:
    limit = number(mapping(mapping(facts, "details"), "limit"), "seconds")
    return limit if limit and limit > 0 else None


def _rank(precision: str) -> int:
    return PRECISIONS.index(precision) if precision in PRECISIONS else len(PRECISIONS)


def _latency_charts(model: str, points: list[Point]) -> list[Chart]:
    lines = {point.line: point.order for point in points}
    names = sorted(lines, key=lambda line: lines[line])
    if not names:
        return []
    chosen = {name: sorted((p for p in points if p.line == name), key=lambda p: p.batch) for name in names}
    latency = tuple(
        Series(name, tuple((float(p.batch), p.seconds * 1e3) for p in found)) for name, found in chosen.items()
    )
    rate = [Series(name, tuple((float(p.batch), p.batch / p.seconds) for p in found)) for name, found in chosen.items()]
    limits = [
        Series(f"limit {name}", tuple((float(p.batch), p.batch / p.limit) for p in found if p.limit), limit=True)
        for name, found in chosen.items()
    ]
    curve = tuple(
        Series(
            name,
            tuple((p.seconds * 1e3, p.batch / p.seconds) for p in found),
            tuple(f"batch {p.batch}" for p in found),
        )
        for name, found in chosen.items()
    )
    rates = (*rate, *(series for series in limits if series.points))
    key, per_second = slug(model), f"{points[0].unit} per second"
    return [
        Chart(f"{key}-latency", f"{model}: latency over batch size", "batch size", "ms per batch", latency, (), True),
        Chart(
            f"{key}-throughput", f"{model}: throughput over batch size", "batch size", per_second, rates,
            (), True,
        ),
        Chart(
            f"{key}-latency-throughput", f"{model}: latency and throughput", "ms per batch", per_second,
            curve,
        ),
    ]  # fmt: skip


def _accuracy_chart(model: str, run: Run) -> list[Chart]:
    found = []
    for name, facts in accuracy_facts(run).items():
        if (text(facts, "model") or name) == model:
            found.append((text(facts, "precision") or "unknown", text(facts, "backend") or "", run.accuracy[name]))
    if not found:
        return []
    precisions = sorted({precision for precision, _, _ in found}, key=lambda name: (_rank(name), name))
    series = []
    for backend in dict.fromkeys(backend for _, backend, _ in found):
        here = [(precisions.index(p), accuracy) for p, b, accuracy in found if b == backend]
        here.sort(key=lambda pair: pair[0])
        series += [
            Series(f"top-1 {backend}".strip(), tuple((float(x), accuracy.top1) for x, accuracy in here)),
            Series(
                f"top-5 {backend}".strip(),
                tuple((float(x), accuracy.top5) for x, accuracy in here if accuracy.top5 is not None),
            ),
        ]
    title = f"{model}: top-1 and top-5 by precision"
    return [
        Chart(
            f"{slug(model)}-accuracy", title, "precision", "% of images", tuple(series), tuple(precisions),
            from_zero=False,
        )
    ]  # fmt: skip


def slug(name: str) -> str:
    """A name that is safe in a file name and an anchor."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()[:60] or "network"
