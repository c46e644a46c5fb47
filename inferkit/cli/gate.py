"""`inferkit gate selftest`: what the gate can and cannot see on this machine, measured."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from inferkit.cli.case_options import add_case_options, matrix_file, selection_of
from inferkit.cli.output import add_json, print_json
from inferkit.errors import UsageError
from inferkit.exit_codes import ExitCode
from inferkit.suite.terminable import terminable

if TYPE_CHECKING:
    from inferkit.gate.power import SelfTest

_EFFECTS = "latency=0.02,latency=0.05,latency=0.1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "what",
        choices=["selftest"],
        help="selftest: measure suites without a change and suites with injected slowdowns on this machine",
    )
    add_case_options(parser)
    parser.add_argument(
        "--suites", type=int, default=10, metavar="N", help="suites without a change (default: %(default)s)"
    )
    parser.add_argument(
        "--slowed-suites",
        type=int,
        default=4,
        metavar="N",
        help="suites with each injected slowdown (default: %(default)s)",
    )
    parser.add_argument(
        "--effects",
        default=_EFFECTS,
        metavar="KIND=SHARE,...",
        help="what is injected: latency, tail, memory or build, by a share (default: %(default)s)",
    )
    parser.add_argument(
        "--one-in",
        type=int,
        default=4,
        metavar="N",
        help="inject into one of N cases of a suite (default: %(default)s)",
    )
    parser.add_argument("--replicates", type=int, metavar="N", help="fresh processes per case (default: the matrix's)")
    parser.add_argument(
        "--min-time", type=float, metavar="SECONDS", help="time measured per process (default: the matrix's)"
    )
    parser.add_argument(
        "--time-budget", type=float, metavar="SECONDS", help="start no suite that would end after this time"
    )
    parser.add_argument(
        "--baselines", metavar="FOLDER", type=Path, help="compare with these baselines (default: measure one first)"
    )
    parser.add_argument("--log", metavar="FILE", help="write each suite as one line of JSON when it is judged")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, count and print; returns the exit code."""
    from inferkit.report.progress import time_left
    from inferkit.suite.campaign.campaign import CampaignSettings
    from inferkit.suite.matrix.files import require_files
    from inferkit.suite.matrix.read import load_matrix
    from inferkit.suite.selftest import SelfTestPlan, run_selftest

    for name in ("suites", "slowed_suites", "one_in", "replicates", "min_time", "time_budget"):
        value = getattr(args, name)
        if value is not None and not 0 < value <= 100_000:
            raise UsageError(f"--{name.replace('_', '-')} must be above 0 and at most 100000, not {value:g}")
    if args.baselines is not None and not args.baselines.is_dir():
        raise UsageError(f"--baselines {args.baselines}: no such folder")
    plan = SelfTestPlan(
        args.suites, _effects(args.effects), args.slowed_suites, args.one_in, args.time_budget, args.baselines
    )
    matrix = load_matrix(matrix_file(args))
    selection = selection_of(args)
    selection.check(matrix.cases())
    require_files(matrix, selection.of(matrix.cases()))
    declared = matrix.suite
    settings = CampaignSettings(
        args.replicates or declared.replicates, args.min_time or declared.min_time, reference=declared.reference
    )
    began, steps = time.monotonic(), itertools.count()
    total = 1 + plan.suites + len(plan.effects) * plan.slowed_suites

    def say(text: str) -> None:
        passed = time.monotonic() - began
        left = time_left(passed, next(steps), total)
        print(f"{passed:7.1f} s {text}{left and ', ' + left}", file=sys.stderr, flush=True)

    with contextlib.ExitStack() as stack:
        stack.enter_context(terminable())
        log = stack.enter_context(_log(args.log)) if args.log else None

        def keep(suite: Mapping[str, Any]) -> None:
            if log is not None:
                print(json.dumps(suite), file=log, flush=True)

        result = run_selftest(matrix, selection.of(matrix.cases()), settings, plan, say, keep)
    if args.json:
        print_json(result.as_dict())
    else:
        print("\n".join(_lines(result)))
    return ExitCode.INVALID if result.suites.hits else ExitCode.OK


def _log(path: str) -> TextIO:
    try:
        return open(path, "w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--log {path} cannot be written: {error.strerror or error}") from error


def _effects(text: str) -> tuple[tuple[str, float], ...]:
    from inferkit.measure.engine.inject import checked

    effects = []
    for word in filter(None, text.split(",")):
        kind, _, share = word.partition("=")
        try:
            effects.append((kind, float(share)))
        except ValueError as error:
            raise UsageError(f"--effects {word}: must be KIND=SHARE, such as latency=0.02") from error
        checked({kind: effects[-1][1]})
    return tuple(effects)


def _lines(result: SelfTest) -> list[str]:
    from inferkit.suite.selftest import percentile_of

    lines = [
        f"without a change: suites that failed {result.suites.text}",
        f"                  wrong verdicts {result.verdicts.text}",
        f"                  INCONCLUSIVE latencies {result.undecided}",
        f"time to the verdicts of a suite: median {percentile_of(result.suite_seconds, 0.5):.1f} s, "
        f"p95 {percentile_of(result.suite_seconds, 0.95):.1f} s",
    ]
    for each in result.detections:
        slowest = percentile_of(each.seconds, 0.95)
        lines.append(f"{each.kind} +{100 * each.effect:g} %: detected {each.found.text}, suite p95 {slowest:.1f} s")
    lines += ["", *(case.line for case in result.cases)]
    return lines + [f"false alarm: {line}" for line in result.alarms]
