"""Latency over offered load, as `inferkit serve-bench --delays … --json` writes it: read, checked, and as charts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from inferkit.gate.files.checked_json import Place, read_json
from inferkit.gate.units import seconds
from inferkit.report.charts.study import Chart, Series, slug

KIND = "latency-over-load"
SCHEMA = 1
_KEPT_UP = 0.98  # of what was offered: below it the service is saturated, and its latencies grow with the run
_PERCENTILES = ("p50", "p99")


@dataclass(frozen=True)
class LoadPoint:
    """One offered rate. Queries per second and seconds; None where the run had too few queries for a percentile."""

    offered: float
    completed: float | None
    p50: float | None
    p99: float | None
    batch: float

    @property
    def saturated(self) -> bool:
        """Whether less was completed than was offered."""
        return self.completed is not None and self.completed < _KEPT_UP * self.offered


@dataclass(frozen=True)
class LoadCurves:
    """A sweep: the points of every batching delay (seconds), by rising rate."""

    file: str
    model: str
    line: str
    bound: float | None
    curves: tuple[tuple[float, tuple[LoadPoint, ...]], ...]


def read_load(path: str | os.PathLike[str]) -> LoadCurves:
    """Read and check a sweep. BaselineError for a file that is damaged, newer, or something else."""
    top = read_json(path)
    if top.values.get("kind") != KIND:
        raise top.fail(f"is no sweep of `inferkit serve-bench --delays`: its kind is {top.values.get('kind')!r}")
    schema = top.values.get("schema")
    if type(schema) is not int or not 1 <= schema <= SCHEMA:
        raise top.fail(f"has the schema {schema!r}; this inferkit reads up to {SCHEMA}", "schema")
    curves = tuple(
        (curve.number("delay", above=-1e-12), tuple(_point(point) for point in _places(curve, "points")))
        for curve in _places(top, "curves")
    )
    line = " ".join(top.text(key) for key in ("precision", "backend"))
    bound = top.optional("bound", above=0)
    return LoadCurves(top.file, top.text("model"), line, bound, curves)


def _places(place: Place, key: str) -> list[Place]:
    value = place.values.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise place.fail("must be a list of objects", key)
    return [Place(item, place.file, f"{key}/{index}") for index, item in enumerate(value)]


def _point(place: Place) -> LoadPoint:
    return LoadPoint(
        place.number("offered", above=0),
        place.optional("completed", above=-1e-9),
        place.optional("p50", above=0),
        place.optional("p99", above=0),
        place.number("mean_batch", above=0),
    )


def load_charts(loads: Sequence[LoadCurves]) -> tuple[Chart, ...]:
    """p50 and p99 over offered load, one line per batching delay, with the bound that p99 was to hold."""
    charts = []
    for load in loads:
        for percentile in _PERCENTILES:
            series = _series(load, percentile)
            if series:
                charts.append(_chart(load, percentile, series))
    return tuple(chart for chart in charts if chart.has_course)


def _series(load: LoadCurves, percentile: str) -> tuple[Series, ...]:
    found = []
    for delay, points in load.curves:
        known = [(point, value) for point in points if (value := getattr(point, percentile)) is not None]
        if known:
            name = "no delay" if delay == 0 else f"delay {seconds(delay)}"
            line = tuple((point.offered, value * 1e3) for point, value in known)
            found.append(Series(name, line, tuple(_note(point) for point, _ in known)))
    rates = [point.offered for _, points in load.curves for point in points]
    if found and percentile == "p99" and load.bound is not None and len(set(rates)) > 1:
        bound = load.bound * 1e3
        found.append(Series(f"bound {seconds(load.bound)}", ((min(rates), bound), (max(rates), bound)), limit=True))
    return tuple(found)


def _note(point: LoadPoint) -> str:
    told = f"{point.offered:,.0f} queries/s offered, batches of {point.batch:.1f}"
    if point.saturated and point.completed is not None:
        told += f", saturated: {point.completed:,.0f} done"
    return told


def _chart(load: LoadCurves, percentile: str, series: tuple[Series, ...]) -> Chart:
    return Chart(
        f"{slug(load.model)}-{slug(load.line)}-load-{percentile}",
        f"{load.model} {load.line}: {percentile} over offered load",
        "queries per second offered",
        f"{percentile}, ms",
        series,
        group=load.model,
    )
