"""The study's three charts of what `inferkit sweep --json` wrote: read, checked, drawn with error bars and limits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inferkit.gate.files.checked_json import Place, read_json
from inferkit.measure.latency.curves import Curve
from inferkit.measure.latency.rounds import Interval
from inferkit.report.charts.study import Chart, Series, slug

KIND, SCHEMA = "sweep", 2
# What can be measured: seconds of a batch, and images.
_SHORTEST, _LONGEST, _MOST = 1e-12, 1e6, 1e12
_HOLLOW = " (hollow: not steady)"


@dataclass(frozen=True)
class SweptPoint:
    """One point that was timed. `unsteady` says why it is not steady, `limit` (seconds) and `share` are the card's."""

    series: str
    batch: int
    interval: Interval
    unsteady: tuple[str, ...] = ()
    limit: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Accuracy:
    """Images that were classified, and how many of them rightly; `repeated`: some of them counted twice."""

    images: int
    top1: int
    top5: int
    repeated: bool

    @property
    def shares(self) -> tuple[float, float]:
        """Top-1 and top-5 in percent."""
        return 100 * self.top1 / self.images, 100 * self.top5 / self.images


@dataclass(frozen=True)
class Swept:
    """A sweep: its points, the accuracy of each series, the network's name and what it ran on."""

    model: str
    cpu: str
    cpus: int
    card: str | None
    backend: str
    version: str | None
    rounds: int
    points: tuple[SweptPoint, ...]
    accuracy: dict[str, Accuracy]

    @property
    def curves(self) -> dict[str, Curve]:
        """The intervals by series and batch size."""
        names = dict.fromkeys(point.series for point in self.points)
        return {name: {point.batch: point.interval for point in self.points if point.series == name} for name in names}


def read_sweep(path: str | os.PathLike[str]) -> Swept:
    """Read and check a sweep; points that were not timed are left out. BaselineError for a file that is damaged, newer,
    or something else."""
    top = read_json(path)
    if top.values.get("kind") != KIND:
        raise top.fail(f"is no sweep: its kind is {top.values.get('kind')!r}")
    top.schema(SCHEMA)
    every = [place for place in _places(top, "points") if place.values.get("status") == "ok"]
    timed = [place for place in every if "timing" in place.values]
    firsts = {key: _first_text(every, key) for key in ("card", "version")}
    return Swept(
        Path(top.text("model")).stem,
        top.text("cpu"),
        int(top.number("cpus", above=0)),
        firsts["card"],
        top.text("backend"),
        firsts["version"],
        int(top.number("rounds", above=0)),
        tuple(_point(place) for place in timed),
        _accuracies(every),
    )


def _places(top: Place, key: str) -> list[Place]:
    value = top.values.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise top.fail("must be a list of objects", key)
    return [Place(item, top.file, f"{key}/{index}") for index, item in enumerate(value)]


def _first_text(places: Sequence[Place], key: str) -> str | None:
    return next((place.text(key) for place in places if place.values.get(key) is not None), None)


def _point(place: Place) -> SweptPoint:
    timing = place.place("timing")
    low, middle, high = (timing.number(key, above=_SHORTEST, most=_LONGEST) for key in ("low", "median", "high"))
    if not low <= middle <= high:
        raise timing.fail("low, median and high are not in order")
    unsteady = timing.values.get("unsteady", [])
    if not isinstance(unsteady, list):
        raise timing.fail(f"must be a list of reasons, not {unsteady!r}", "unsteady")
    limit = place.place("limit") if place.values.get("limit") is not None else None
    return SweptPoint(
        place.text("series"),
        int(place.number("batch_size", above=0.99, most=_MOST)),
        Interval(low, middle, high),
        tuple(map(str, unsteady)),
        None if limit is None else limit.number("seconds", above=_SHORTEST, most=_LONGEST),
        None if limit is None else limit.optional("share", above=0),
    )


def _accuracies(places: Sequence[Place]) -> dict[str, Accuracy]:
    """Of each series the point with the most images, none of them counted twice if there is such a point."""
    best: dict[str, Accuracy] = {}
    for place in places:
        if "images" not in place.values:
            continue
        images = int(place.number("images", above=-1, most=_MOST))
        top1, top5 = (int(place.number(key, above=-1, most=images)) for key in ("correct_top1", "correct_top5"))
        if not images:
            continue
        found = Accuracy(images, top1, top5, bool(place.values.get("images_repeated")))
        name = place.text("series")
        if name not in best or (not found.repeated, found.images) > (not best[name].repeated, best[name].images):
            best[name] = found
    return best


def sweep_charts(sweep: Swept) -> tuple[Chart, ...]:
    """Latency and throughput over batch size, and accuracy, as the study shows them."""
    names = list(sweep.curves)
    chosen = {name: sorted((p for p in sweep.points if p.series == name), key=lambda p: p.batch) for name in names}
    latency = tuple(_latency(name, points) for name, points in chosen.items())
    rate = tuple(_throughput(name, points) for name, points in chosen.items())
    limits = tuple(
        Series(f"limit {name}", tuple((float(p.batch), p.batch / p.limit) for p in points if p.limit), limit=True)
        for name, points in chosen.items()
        if any(p.limit for p in points)
    )
    hollow = _HOLLOW if any(point.unsteady for point in sweep.points) else ""
    key, over = f"{slug(sweep.model)}-sweep", "over batch size"
    batch = "batch size"
    charts = (
        Chart(f"{key}-latency", f"{sweep.model}: latency {over}{hollow}", batch, "ms per batch", latency, (), True),
        Chart(
            f"{key}-throughput", f"{sweep.model}: throughput {over}{hollow}", batch, "images per second",
            (*rate, *limits), (), True,
        ),
        _accuracy_chart(key, sweep),
    )  # fmt: skip
    return tuple(chart for chart in charts if chart.has_course)


def _latency(name: str, points: Sequence[SweptPoint]) -> Series:
    return Series(
        name,
        tuple((float(point.batch), point.interval.median * 1e3) for point in points),
        _notes(points),
        bars=tuple((point.interval.low * 1e3, point.interval.high * 1e3) for point in points),
        unsteady=_unsteady(points),
    )


def _throughput(name: str, points: Sequence[SweptPoint]) -> Series:
    return Series(
        name,
        tuple((float(point.batch), point.batch / point.interval.median) for point in points),
        _notes(points),
        bars=tuple((point.batch / point.interval.high, point.batch / point.interval.low) for point in points),
        unsteady=_unsteady(points),
    )


def _notes(points: Sequence[SweptPoint]) -> tuple[str, ...]:
    return tuple(
        f"batch {point.batch}" + (f", not steady: {'; '.join(point.unsteady)}" if point.unsteady else "")
        for point in points
    )


def _unsteady(points: Sequence[SweptPoint]) -> frozenset[int]:
    return frozenset(number for number, point in enumerate(points) if point.unsteady)


def _accuracy_chart(key: str, sweep: Swept) -> Chart:
    series = tuple(
        Series(name, tuple((float(place), share) for place, share in enumerate(accuracy.shares)))
        for name, accuracy in sweep.accuracy.items()
    )
    title = f"{sweep.model}: accuracy"
    return Chart(f"{key}-accuracy", title, "", "% of images", series, ("top 1", "top 5"), from_zero=False)
