"""`inferkit history`: how the cases went over time, where they changed, and whether they slipped little by little."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.gate.history.changes import ChangePoint
    from inferkit.gate.history.series import Series
    from inferkit.gate.history.store import History

EXIT_NOTHING, EXIT_SLIPPED = 12, 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = (
        "exit codes: 0 shown, or added · 1 with --ratchet, a case slipped · 2 usage, or cannot be read · "
        "12 nothing to show"
    )
    parser.add_argument("case", nargs="?", metavar="CASE", help="one case, run by run; a pattern (lenet*) for several")
    parser.add_argument("--metric", default="latency", metavar="NAME", help="latency (default), p99, top-1, …, or all")
    parser.add_argument("--last", type=int, default=30, metavar="N", help="the last N runs of each case (default: 30)")
    parser.add_argument("--project", metavar="NAME", help="only this project's runs (the repository's name)")
    parser.add_argument(
        "--history", type=Path, metavar="FILE", help="the file (default: history.duckdb in $INFERKIT_CACHE)"
    )
    parser.add_argument(
        "--add",
        nargs="+",
        action="extend",
        metavar="RUN.json",
        default=[],
        help="remember these runs too: what --benchmark-json wrote",
    )
    parser.add_argument(
        "--ratchet",
        action="store_true",
        help="compare the last run with the last release (a git tag of the repository here) and with 30 days ago",
    )
    parser.add_argument("--release", metavar="TAG", help="with --ratchet: compare with this tag")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Add, compare or show; returns the exit code."""
    from inferkit.gate.history.store import History

    if args.last < 1:
        raise UsageError(f"--last is a number of runs, 1 or more, not {args.last}")
    if args.release and not args.ratchet:
        raise UsageError("--release belongs to --ratchet")
    history = History(args.history)
    if args.add:
        return _add(history, args)
    return _ratchet(history, args) if args.ratchet else _show(history, args)


def _add(history: History, args: argparse.Namespace) -> int:
    from inferkit.gate.files.run_file import read_run
    from inferkit.gate.history.summary import summary_of

    summaries = [summary_of(read_run(path)) for path in args.add]  # all are checked before any is taken
    added = history.append(summaries)
    if args.json:
        print(json.dumps({"added": [run.run_id for run in added], "known": len(summaries) - len(added)}))
    else:
        known = f", {len(summaries) - len(added)} were there already" if len(added) < len(summaries) else ""
        print(f"{history.path}: {len(added)} runs added{known}")
    return 0


def _ratchet(history: History, args: argparse.Namespace) -> int:
    from inferkit.gate.history.ratchet import slips
    from inferkit.report.outcomes import outcome_lines
    from inferkit.report.table import stdout_look
    from inferkit.suite.session.releases import ratchet_of

    runs = history.runs(args.project)
    if not runs:
        print("{}" if args.json else _empty(history))
        return EXIT_NOTHING
    found = ratchet_of(history, runs[-1], Path.cwd(), args.release)
    outcomes = [o for o in found.outcomes if args.case is None or fnmatchcase(o.case, args.case)]
    code = EXIT_SLIPPED if slips(outcomes) else 0 if outcomes else EXIT_NOTHING
    if args.json:
        content = {"outcomes": [o.as_dict() for o in outcomes], "remarks": found.remarks, "exit_code": code}
        print(json.dumps(content, indent=1))
        return code
    width, color = stdout_look()
    for line in (*outcome_lines(outcomes, width=width, color=color), *found.remarks):
        print(line)
    return code


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
        return EXIT_NOTHING
    changes, remark = _changes(chosen, references)
    if args.json:
        pairs = zip(chosen, changes, strict=True)
        print(json.dumps([_as_json(series, found, args.last) for series, found in pairs], indent=1, default=str))
        return 0
    if args.case is None or len(chosen) > 1:
        _print_overview(chosen, changes, args.last)
    else:
        _print_case(chosen[0], changes[0], args.last)
    if remark:
        print(remark)
    return 0


def _empty(history: History) -> str:
    return f"{history.path}: no runs yet; `pytest bench` adds each run, `inferkit history --add RUN.json` earlier ones"


def _nothing(history: History, everything: Sequence[Series], args: argparse.Namespace) -> str:
    if not everything:
        return _empty(history)
    metrics = ", ".join(dict.fromkeys(series.metric for series in everything))
    wanted = f"{args.case or 'no case'}: nothing of it" if args.case else "nothing"
    return f"{history.path}: {wanted} under --metric {args.metric}; there are {metrics}"


def _changes(chosen: Sequence[Series], references: Sequence[Series]) -> tuple[list[list[ChangePoint]], str]:
    """The change points of each series; or none, and why."""
    from inferkit.gate.history.changes import change_points

    try:
        return [change_points(series, references) for series in chosen], ""
    except UsageError as error:
        return [[] for _ in chosen], str(error)


def _print_overview(chosen: Sequence[Series], changes: Sequence[list[ChangePoint]], last: int) -> None:
    from inferkit.gate.metrics import shower
    from inferkit.report.table import Column, sparkline, stdout_look, table_lines

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
                "now": shower(series.metric)(points[-1].centre),
                "change": _changed(series.metric, points[0].centre, points[-1].centre) if len(points) > 1 else None,
                "course": sparkline([point.centre for point in points]),
                "verdict": points[-1].verdict,
            }
        )
    columns = [Column(name, name, str, left=name in ("case", "metric", "course", "verdict")) for name in rows[0]]
    width, color = stdout_look()
    for line in table_lines(columns, rows, width, color):
        print(line)
    if len(machines) > 1:
        print("\n".join(f"[{number}] {machine}" for number, machine in enumerate(machines, 1)))
    for series, found in zip(chosen, changes, strict=True):
        for change in found:
            print(f"{series.case} {series.metric} changed by {change.line}")


def _print_case(series: Series, changes: Sequence[ChangePoint], last: int) -> None:
    from inferkit.gate.metrics import shower
    from inferkit.measure.latency.statistics import spread
    from inferkit.report.table import Column, sparkline, stdout_look, table_lines

    show = shower(series.metric)
    points = series.points[-last:]
    starts = {change.after.run.run_id: change for change in changes}
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
    columns = [Column(name, name, str, left=name in ("date", "commit", "verdict", "")) for name in rows[0]]
    width, color = stdout_look()
    print(f"{series.case} {series.metric} on {series.fingerprint}: {sparkline([p.centre for p in points], last)}")
    for line in table_lines(columns, rows, width, color):
        print(line)
    for found in changes:
        print(f"changed by {found.line}")


def _logs(values: Sequence[float]) -> list[float]:
    import math

    return [math.log(value) for value in values] if all(value > 0 for value in values) else []


def _changed(metric: str, first: float, last: float) -> str | None:
    if metric.startswith("top-"):
        return f"{last - first:+.2f} points"
    return f"{last / first - 1:+.1%}" if first > 0 else None


def _as_json(series: Series, changes: Sequence[ChangePoint], last: int) -> dict[str, Any]:
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
                "before": change.before.run.run_id,
                "after": change.after.run.run_id,
                "change": change.change,
                "p_value": change.p_value,
                "machine": change.machine,
            }
            for change in changes
        ],
    }


# What is said of a point beside its run.
_KEPT = ("values", "verdict", "change", "margin", "reason", "replicates_known")
