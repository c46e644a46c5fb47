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

from inferkit.cli.ab import listed, matrix_file, terminable
from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.gate.power import SelfTest

_EFFECTS = "latency=0.02,latency=0.05,latency=0.1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = (
        "exit codes: 0 no false alarm · 1 a suite failed in which nothing had changed · 2 usage, or cannot be done"
    )
    parser.add_argument(
        "what", choices=["selftest"], help="selftest: unchanged and really slowed suites on this machine"
    )
    for name in ("model", "precision", "batch-size", "backend"):
        parser.add_argument(
            f"--{name}", action="append", metavar="VALUE", help=f"only this {name} (repeat it, or commas)"
        )
    parser.add_argument("--matrix", metavar="FILE", help="the table of cases (default: matrix.toml, bench/matrix.toml)")
    parser.add_argument("--suites", type=int, default=10, metavar="N", help="suites in which nothing changed (10)")
    parser.add_argument("--slowed-suites", type=int, default=4, metavar="N", help="suites per effect (4)")
    parser.add_argument(
        "--effects",
        default=_EFFECTS,
        metavar="KIND=SHARE,…",
        help=f"what is injected: latency, tail, memory or build, by a share (default: {_EFFECTS})",
    )
    parser.add_argument(
        "--one-in", type=int, default=4, metavar="N", help="in a slowed suite one case of N is slowed (4)"
    )
    parser.add_argument("--replicates", type=int, metavar="N", help="fresh processes per case (default: the matrix's)")
    parser.add_argument("--min-time", type=float, metavar="SECONDS", help="time measured per process (the matrix's)")
    parser.add_argument("--time-budget", type=float, metavar="SECONDS", help="begin no suite that would end later")
    parser.add_argument(
        "--baselines", metavar="FOLDER", type=Path, help="compare with these (default: measure one first)"
    )
    parser.add_argument("--log", metavar="FILE", help="write every suite as a line of JSON as soon as it is judged")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Try and print; returns the exit code."""
    from inferkit.report.progress import time_left
    from inferkit.suite.campaign.campaign import CampaignSettings
    from inferkit.suite.matrix.read import load_matrix
    from inferkit.suite.matrix.selection import Selection
    from inferkit.suite.selftest import SelfTestPlan, run_selftest

    for name in ("suites", "slowed_suites", "one_in", "replicates", "min_time", "time_budget"):
        value = getattr(args, name)
        if value is not None and not 0 < value <= 100_000:
            raise UsageError(f"--{name.replace('_', '-')} must be above 0, not {value:g}")
    if args.baselines is not None and not args.baselines.is_dir():
        raise UsageError(f"--baselines {args.baselines}: there is no such folder")
    plan = SelfTestPlan(
        args.suites, _effects(args.effects), args.slowed_suites, args.one_in, args.time_budget, args.baselines
    )
    matrix = load_matrix(matrix_file(args.matrix))
    selection = Selection(*(listed(getattr(args, name)) for name in ("model", "precision", "batch_size", "backend")))
    selection.check(matrix.cases())
    declared = matrix.suite
    settings = CampaignSettings(
        args.replicates or declared.replicates, args.min_time or declared.min_time, reference=declared.reference
    )
    began, begun = time.monotonic(), itertools.count()
    total = 1 + plan.suites + len(plan.effects) * plan.slowed_suites

    def say(text: str) -> None:
        passed = time.monotonic() - began
        left = time_left(passed, next(begun), total)
        print(f"{passed:7.1f} s {text}{left and ', ' + left}", file=sys.stderr, flush=True)

    with contextlib.ExitStack() as stack:
        stack.enter_context(terminable())
        log = stack.enter_context(_log(args.log)) if args.log else None

        def keep(suite: Mapping[str, Any]) -> None:
            if log is not None:
                print(json.dumps(suite), file=log, flush=True)

        found = run_selftest(matrix, selection.of(matrix.cases()), settings, plan, say, keep)
    if args.json:
        print(json.dumps(found.as_dict(), indent=1))
    else:
        for line in _lines(found):
            print(line)
    return 1 if found.suites.hits else 0


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
            raise UsageError(f"--effects {word}: KIND=SHARE, such as latency=0.02") from error
        checked({kind: effects[-1][1]})
    return tuple(effects)


def _lines(found: SelfTest) -> list[str]:
    from inferkit.suite.selftest import percentile_of

    lines = [
        f"nothing changed: suites that failed {found.suites.text}",
        f"                 verdicts that were wrong {found.verdicts.text}",
        f"                 latencies without a verdict {found.undecided}",
        f"time to the verdicts of a suite: p50 {percentile_of(found.suite_seconds, 0.5):.1f} s, "
        f"p95 {percentile_of(found.suite_seconds, 0.95):.1f} s",
    ]
    for each in found.detections:
        slowest = percentile_of(each.seconds, 0.95)
        lines.append(f"{each.kind} +{100 * each.effect:g} %: found {each.found.text}, suite p95 {slowest:.1f} s")
    lines += ["", *(case.line for case in found.cases)]
    return lines + [f"false alarm: {line}" for line in found.alarms]
