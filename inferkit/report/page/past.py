"""How a case went over the runs that are remembered: one mark a run, and where the history changed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.errors import HistoryError, UsageError
from inferkit.gate.metrics import ACCURACY, LATENCY, REFERENCE, shower
from inferkit.gate.outcome import Verdict
from inferkit.gate.run import Run
from inferkit.report.charts.svg import element, make_scale, marker, padded, ticks
from inferkit.report.escape import escape

if TYPE_CHECKING:
    from inferkit.gate.history.changes import ChangePoint
    from inferkit.gate.history.series import HistoryPoint, HistorySeries
    from inferkit.gate.history.store import History

_WIDTH, _LEFT, _RIGHT, _TOP, _HEIGHT = 520, 96, 18, 26, 130
_MOST_RUNS, _MOST_RUNS_OF_MANY = 100, 50
_MANY = 100  # cases: their pictures are kept smaller, so that the page stays below 5 MB
_TOLD = 6  # of the last runs: each with its date and commit
_KINDS: Mapping[str, int] = {Verdict.REGRESSED: 1, Verdict.IMPROVED: 2}  # colour and shape; all else is a dot


@dataclass(frozen=True)
class Past:
    """A case's history as a picture, and a line for each change point. Texts are plain and must be escaped."""

    picture: str
    changes: tuple[str, ...]


def pasts_of(history: History, run: Run) -> tuple[dict[str, Past], str]:
    """By case of the run, its history on the same kind of machine; and a remark on what could not be told.

    Empty where there is no history, or fewer than two runs of a case. What is wrong with the file is in the remark.
    """
    machines = {name: case.fingerprint for name, case in run.cases.items()}
    machines |= {name: case.fingerprint for name, case in run.accuracy.items()}
    try:
        everything = history.series(project=run.origin.project) if history.path.exists() else []
    except (HistoryError, ImportError) as error:
        return {}, f"no history is shown: {error}"
    chosen = [
        series
        for series in everything
        if series.metric in (LATENCY, ACCURACY) and machines.get(series.case) == series.fingerprint
    ]
    references = [series for series in everything if series.metric == REFERENCE]
    found: dict[str, Past] = {}
    remark = ""
    for series in chosen:
        if len(series.points) < 2:
            continue
        try:
            changes = _changes(series, references)
        except UsageError as error:
            changes, remark = [], f"the history is shown without its change points: {error}"
        points = series.points[-(_MOST_RUNS if len(chosen) < _MANY else _MOST_RUNS_OF_MANY) :]
        found[series.case] = Past(draw_past(series, points, changes), tuple(change.line for change in changes))
    return found, remark


def _changes(series: HistorySeries, references: Sequence[HistorySeries]) -> list[ChangePoint]:
    from inferkit.gate.history.changes import change_points

    return change_points(series, references)


def draw_past(series: HistorySeries, points: Sequence[HistoryPoint], changes: Sequence[ChangePoint]) -> str:
    """The picture: medians joined, the range of the replicates behind, a dashed line where the series changed."""
    show = shower(series.metric)
    values = [value for point in points for value in point.values]
    low, high = padded(min(values), max(values))
    x_scale = make_scale(0.0, max(len(points) - 1, 1), _LEFT + 8, _WIDTH - _RIGHT - 8, False)
    y_scale = make_scale(low, high, _TOP + _HEIGHT, _TOP, False)
    body = []
    for tick in ticks(low, high, 4):
        if low <= tick <= high:
            y = y_scale(tick)
            body.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
            body.append(f'<text class="tick" x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{show(tick)}</text>')
    places = {point.run.run_id: index for index, point in enumerate(points)}
    body += _change_lines(changes, places, lambda index: x_scale(index - 0.5))
    used = [(x_scale(index), point) for index, point in enumerate(points) if point.usable]
    if len(used) > 1:
        path = "L".join(f"{x:.1f} {y_scale(point.centre):.1f}" for x, point in used)
        body.append(f'<path class="thin s0" d="M{path}"/>')
    body += _marks([(x_scale(index), point) for index, point in enumerate(points)], y_scale, show)
    bottom = _TOP + _HEIGHT
    for x, anchor, point in ((_LEFT, "start", points[0]), (_WIDTH - _RIGHT, "end", points[-1])):
        body.append(
            f'<text class="tick" x="{x}" y="{bottom + 18}" text-anchor="{anchor}">{point.run.date:%Y-%m-%d}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    body.append(f'<text class="tick" x="{middle:g}" y="{bottom + 18}" text-anchor="middle">{len(points)} runs</text>')
    said = f"{series.metric} of {len(points)} runs: {show(points[0].centre)} first, {show(points[-1].centre)} last"
    said += "".join(f"; changed {change.line}" for change in changes)
    return element(_WIDTH, bottom + 26, f"History of {series.case}", said, "".join(body))


def _change_lines(changes: Sequence[ChangePoint], places: Mapping[str, int], x_of: Callable[[int], float]) -> list[str]:
    parts = []
    level = itertools.cycle((12.0, 23.0))  # neighbours' labels do not touch
    for change in changes:
        index = places.get(change.head.run.run_id)
        if index:
            x = x_of(index)
            anchor = "end" if x > _WIDTH * 0.8 else "start" if x < _LEFT + 40 else "middle"
            place = f'x="{x:.1f}" y="{next(level):g}" text-anchor="{anchor}"'
            parts.append(
                f'<path class="margin" d="M{x:.1f} {_TOP}V{_TOP + _HEIGHT}"><title>{escape(change.line)}</title></path>'
                f'<text class="label" {place}>{change.change:+.1%}</text>'
            )
    return parts


def _marks(
    places: Sequence[tuple[float, HistoryPoint]], y_of: Callable[[float], float], show: Callable[[float], str]
) -> list[str]:
    """The last runs and those that changed tell of themselves; the others are one path, so that a page stays small."""
    ranges, spots, told = [], [], []
    for number, (x, point) in enumerate(places):
        y = y_of(point.centre)
        if point.usable:
            low, high = min(point.values), max(point.values)
            ranges.append(f"M{x:.0f} {y_of(low):.1f}V{y_of(high) - 0.5:.1f}")
        if point.usable and point.verdict not in _KINDS and number < len(places) - _TOLD:
            spots.append(f"M{x:.0f} {y:.1f}h0")
        else:
            told.append(_mark(point, round(x), y, show(point.centre)))
    return [f'<path class="range s0" d="{"".join(ranges)}"/><path class="spots s0" d="{"".join(spots)}"/>', *told]


def _mark(point: HistoryPoint, x: float, y: float, value: str) -> str:
    run = point.run
    commit = f", {run.commit[:9]}" if run.commit else ""
    said = f"{run.date:%Y-%m-%d %H:%M}{commit}: {value}" + (f", {point.verdict}" if point.verdict else "")
    if not point.usable:
        return f'<path class="hollow" d="M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6"><title>{escape(said)}</title></path>'
    return marker(_KINDS.get(point.verdict or "", 0), x, y, said)
