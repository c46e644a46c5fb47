"""`inferkit history`: the results of cases over time, their change points, and gradual regressions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.cli.comparing import show_outcomes
from inferkit.cli.option_types import at_least_one
from inferkit.cli.output import add_json, print_json, print_table
from inferkit.errors import UsageError
from inferkit.exit_codes import ExitCode

if TYPE_CHECKING:
    from inferkit.gate.history.changes import ChangePoint
    from inferkit.gate.history.series import HistorySeries
    from inferkit.gate.history.store import History
    from inferkit.gate.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("case", nargs="?", metavar="CASE", help="one case, run by run; a pattern (lenet*) for several")
    parser.add_argument(
        "--metric", default="latency", metavar="NAME", help="latency, p99, top-1, ... or all (default: %(default)s)"
    )
    parser.add_argument(
        "--last", type=at_least_one, default=30, metavar="N", help="last N runs of each case (default: %(default)s)"
    )
    parser.add_argument("--project", metavar="NAME", help="only runs of this project (the name of its repository)")
    parser.add_argument(
        "--history", type=Path, metavar="FILE", help="history file (default: history.duckdb in $INFERKIT_CACHE)"
    )
    parser.add_argument(
        "--add",
        nargs="+",
        action="extend",
        metavar="RUN.json",
        default=[],
        help="add these runs, files that --benchmark-json wrote",
    )
    parser.add_argument(
        "--ratchet",
        action="store_true",
        help="find gradual regressions: compare the last run with the last release (a git tag of this repository) and "
        "with 30 days ago",
    )
    parser.add_argument(
        "--baseline-dir",
        type=Path,
        default=Path("baselines"),
        metavar="DIR",
        help="baselines whose earlier versions in git --ratchet compares with too (default: baselines)",
    )
    parser.add_argument("--release", metavar="TAG", help="release that --ratchet compares with")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Add, compare or show; returns the exit code."""
    from inferkit.gate.history.store import History

    if args.release and not args.ratchet:
        raise UsageError("--release needs --ratchet")
    history = History(args.history)
    if args.add:
        return _add(history, args)
    return _ratchet(history, args) if args.ratchet else _show(history, args)


def _add(history: History, args: argparse.Namespace) -> int:
    from inferkit.gate.files.run_file import read_run
    from inferkit.gate.history.summary import summary_of

    summaries = [summary_of(read_run(path)) for path in args.add]  # all are checked before any is added
    added = history.append(summaries)
    stored = len(summaries) - len(added)
    if args.json:
        print_json({"added": [run.run_id for run in added], "known": stored})
    else:
        print(f"{history.path}: {len(added)} runs added{f', {stored} were already stored' if stored else ''}")
    return ExitCode.OK


def _ratchet(history: History, args: argparse.Namespace) -> int:
    from inferkit.gate.history.ratchet import slips
    from inferkit.suite.session.releases import Ratchet, ratchet_of

    runs = history.runs(args.project)
    of_baselines = _of_baselines(args.baseline_dir)
    if not (runs or of_baselines):
        print("{}" if args.json else _empty(history))
        return ExitCode.NOTHING
    result = ratchet_of(history, runs[-1], Path.cwd(), args.release) if runs else Ratchet((), ())
    everything = [*result.outcomes, *of_baselines]
    outcomes = [o for o in everything if args.case is None or fnmatchcase(o.case, args.case)]
    code = ExitCode.REGRESSED if slips(outcomes) else ExitCode.OK if outcomes else ExitCode.NOTHING
    if args.json:
        print_json({"outcomes": [o.as_dict() for o in outcomes], "remarks": result.remarks, "exit_code": code})
    else:
        show_outcomes(outcomes, remarks=result.remarks)
    return code


def _of_baselines(folder: Path) -> list[Outcome]:
    """Each baseline against its earlier versions in git."""
    from inferkit.gate.files.baseline import BaselineStore, read_baseline
    from inferkit.gate.history.creep import creep
    from inferkit.suite.baseline_log import baseline_log

    logs = [(path, baseline_log(path)) for path in BaselineStore(folder).files()]
    return [outcome for path, log in logs if log is not None for outcome in creep(log, read_baseline(path))]


def _show(history: History, args: argparse.Namespace) -> int:
    from inferkit.gate.metrics import REFERENCE

    everything = history.series(project=args.project)
    references = [series for series in everything if series.metric == REFERENCE]
    chosen = [
        series
        for series in everything
        if (args.metric in ("all", series.metric)) and (args.case is None or fnmatchcase(series.case, args.case))
    ]
    if not chosen:
        print("[]" if args.json else _nothing(history, everything, args))
        return ExitCode.NOTHING
    changes, remark = _changes(chosen, references)
    if args.json:
        pairs = zip(chosen, changes, strict=True)
        print_json([_as_json(series, points, args.last) for series, points in pairs])
        return ExitCode.OK
    if args.case is None or len(chosen) > 1:
        _print_overview(chosen, changes, args.last)
    else:
        _print_case(chosen[0], changes[0], args.last)
    if remark:
        print(remark)
    return ExitCode.OK


def _empty(history: History) -> str:
    return f"{history.path}: no runs yet; a pytest run adds itself, `inferkit history --add RUN.json` earlier ones"


def _nothing(history: History, everything: Sequence[HistorySeries], args: argparse.Namespace) -> str:
    if not everything:
        return _empty(history)
    metrics = ", ".join(dict.fromkeys(series.metric for series in everything))
    wanted = f"{args.case} has no" if args.case else "no"
    return f"{history.path}: {wanted} --metric {args.metric}; the metrics are {metrics}"


def _changes(
    chosen: Sequence[HistorySeries], references: Sequence[HistorySeries]
) -> tuple[list[list[ChangePoint]], str]:
    """The change points of each series; or none, and the reason."""
    from inferkit.gate.history.changes import change_points

    try:
        return [change_points(series, references) for series in chosen], ""
    except UsageError as error:
        return [[] for _ in chosen], str(error)


def _print_overview(chosen: Sequence[HistorySeries], changes: Sequence[list[ChangePoint]], last: int) -> None:
    from inferkit.gate.metrics import shower
    from inferkit.report.table import Column, sparkline

    machines = list(dict.fromkeys(series.fingerprint for series in chosen))
    projects = list(dict.fromkeys(series.project for series in chosen))
    rows = []
    for series in chosen:
        points = series.points[-last:]
        rows.append(
            {
                "case": series.case,
                "metric": series.metric,
                "project": series.project if len(projects) > 1 else None,
                "machine": f"[{machines.index(series.fingerprint) + 1}]" if len(machines) > 1 else None,
                "runs": str(len(series.points)),
                "first": shower(series.metric)(points[0].centre),
                "last": shower(series.metric)(points[-1].centre),
                "change": _changed(series.metric, points[0].centre, points[-1].centre) if len(points) > 1 else None,
                "trend": sparkline([point.centre for point in points]),
                "verdict": points[-1].verdict,
            }
        )
    left = ("case", "metric", "trend", "verdict")
    print_table([Column(name, name, str, left=name in left) for name in rows[0]], rows)
    if len(machines) > 1:
        print("\n".join(f"[{number}] {machine}" for number, machine in enumerate(machines, 1)))
    for series, of_series in zip(chosen, changes, strict=True):
        for change in of_series:
            print(f"{series.case} {series.metric} changed by {change.line}")


def _print_case(series: HistorySeries, changes: Sequence[ChangePoint], last: int) -> None:
    from inferkit.gate.metrics import shower
    from inferkit.measure.latency.statistics import spread
    from inferkit.report.table import Column, sparkline

    show = shower(series.metric)
    points = series.points[-last:]
    starts = {change.head.run.run_id: change for change in changes}
    rows = []
    for point in points:
        change = starts.get(point.run.run_id)
        half = spread(_logs(point.values))
        rows.append(
            {
                "date": f"{point.run.date:%Y-%m-%d %H:%M}",
                "commit": (point.run.commit[:9] + ("+" if point.run.dirty else "")) or None,
                series.metric: show(point.centre),
                "±": None if half is None else f"{half:.1%}",
                "replicates": str(len(point.values)) if point.replicates_known else None,
                "verdict": point.verdict,
                "": f"<- {change.change:+.1%} in {change.commits}" if change else None,
            }
        )
    print(f"{series.case} {series.metric} on {series.fingerprint}: {sparkline([p.centre for p in points], last)}")
    left = ("date", "commit", "verdict", "")
    print_table([Column(name, name, str, left=name in left) for name in rows[0]], rows)
    for change_point in changes:
        print(f"changed by {change_point.line}")


def _logs(values: Sequence[float]) -> list[float]:
    import math

    return [math.log(value) for value in values] if all(value > 0 for value in values) else []


def _changed(metric: str, first: float, last: float) -> str | None:
    if metric.startswith("top-"):
        return f"{last - first:+.2f} points"
    return f"{last / first - 1:+.1%}" if first > 0 else None


def _as_json(series: HistorySeries, changes: Sequence[ChangePoint], last: int) -> dict[str, Any]:
    return {
        "project": series.project,
        "case": series.case,
        "metric": series.metric,
        "fingerprint": series.fingerprint,
        "points": [
            {**asdict(point.run), "date": point.run.date.isoformat(), **{key: getattr(point, key) for key in _KEPT}}
            for point in series.points[-last:]
        ],
        "change_points": [
            {
                "commits": change.commits,
                "base": change.base.run.run_id,
                "head": change.head.run.run_id,
                "change": change.change,
                "p_value": change.p_value,
                "machine": change.machine,
            }
            for change in changes
        ],
    }


# What is shown of a point beside its run.
_KEPT = ("values", "verdict", "change", "margin", "reason", "replicates_known")
