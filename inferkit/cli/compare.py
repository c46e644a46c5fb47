"""`inferkit compare`: two benchmark files case by case, with an exit code that a build can act on."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from inferkit.errors import BaselineError, UsageError

if TYPE_CHECKING:
    from inferkit.gate.comparison import Comparison

EXIT_CODES = """exit codes: 0 no regression · 1 regression · 2 usage, or cannot be done · 10 invalid measurement
or other fingerprint · 11 inconclusive or missing under --strict · 12 nothing to compare"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = EXIT_CODES
    parser.add_argument("files", nargs="*", metavar="JSON", help="BASE and HEAD: any pytest-benchmark JSON files")
    parser.add_argument(
        "--base", nargs="+", action="extend", default=[], metavar="JSON", help="several files of the base: replicates"
    )
    parser.add_argument(
        "--head", nargs="+", action="extend", default=[], metavar="JSON", help="several files of the head: replicates"
    )
    parser.add_argument(
        "--margin",
        action="append",
        default=[],
        metavar="[PATTERN=]SHARE",
        help="how much slower is too slow (0.05 or 5%%), for all cases or those that match; the last match counts; "
        "default: the margin in HEAD, else 5%%",
    )
    parser.add_argument(
        "--tolerance", type=float, metavar="POINTS", help="points of top-1 that may be lost (default: HEAD's, else 0.5)"
    )
    parser.add_argument("--strict", action="store_true", help="INCONCLUSIVE and MISSING cases give exit code 11")
    parser.add_argument("--markdown", metavar="FILE", help="write a comment for a pull request too: regressions first")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Compare and print; returns the exit code."""
    from inferkit.gate.comparison import compare
    from inferkit.gate.files.run_file import read_run

    base, head = _sides(args)
    if args.tolerance is not None and not 0 < args.tolerance <= 100:
        raise UsageError(f"--tolerance is points of top-1, above 0 and at most 100, not {args.tolerance:g}")
    margins = parse_margins(args.margin)
    try:
        sides = [[read_run(path) for path in side] for side in (base, head)]
        if len({run.ours for side in sides for run in side}) > 1:
            # Only what every pytest-benchmark file has can be compared between the two kinds.
            sides = [[read_run(path, foreign=True) for path in side] for side in (base, head)]
    except BaselineError as error:
        raise UsageError(str(error)) from error  # exit code 1 would mean a regression
    comparison = compare(*sides, margins=margins, tolerance=args.tolerance)
    code = comparison.exit_code(args.strict)
    if args.markdown:
        _write_markdown(args.markdown, comparison)
    if args.json:
        outcomes = [outcome.as_dict() for outcome in comparison.outcomes]
        layers = {case: diff.as_dict() for case, diff in comparison.layers.items()}
        told = {"outcomes": outcomes, "remarks": comparison.remarks, "layers": layers, "exit_code": code}
        print(json.dumps(told, indent=1))
        return code
    from inferkit.report.layers import diff_lines
    from inferkit.report.outcomes import outcome_lines
    from inferkit.report.table import stdout_look

    width, color = stdout_look()
    for line in (
        *outcome_lines(comparison.outcomes, width=width, color=color),
        *diff_lines(comparison.layers, width=width, color=color),
        *comparison.remarks,
    ):
        print(line)
    if code == 12:
        print("nothing to compare: no case is in both")
    return code


def _write_markdown(path: str, comparison: Comparison) -> None:
    from inferkit.files import write_atomically
    from inferkit.report.markdown import markdown
    from inferkit.report.page.view import cases_of

    try:
        write_atomically(path, markdown(cases_of(comparison.outcomes, comparison.layers), comparison.remarks).encode())
    except OSError as error:
        raise UsageError(f"--markdown {path} cannot be written: {error.strerror or error}") from error


def _sides(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    if args.files and (args.base or args.head):
        raise UsageError("give BASE and HEAD, or --base and --head, not both")
    if args.base or args.head:
        if not (args.base and args.head):
            raise UsageError("--base and --head belong together")
        return args.base, args.head
    if len(args.files) != 2:
        raise UsageError(f"two files are compared, not {len(args.files)}; several of a side: --base A… --head B…")
    return args.files[:1], args.files[1:]


def parse_margins(given: list[str]) -> Callable[[str], float | None]:
    """The margin of a case id from `[PATTERN=]SHARE` words. UsageError for one that is no share above 0."""
    stated = [_margin(word) for word in given]

    def margin_of(case: str) -> float | None:
        matching = [margin for pattern, margin in stated if fnmatchcase(case, pattern)]
        return matching[-1] if matching else None

    return margin_of


def _margin(word: str) -> tuple[str, float]:
    pattern, _, text = word.rpartition("=")
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 10:
        raise UsageError(f"--margin {word}: a margin is a share above 0 and at most 10, such as 0.05 or 5%")
    return pattern or "*", share
