"""`inferkit compare`: two benchmark files case by case, with an exit code that a build can act on."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from inferkit.cli.comparing import add_comparison, compare_files, parse_margins, show_comparison, with_waivers
from inferkit.cli.option_types import tolerance
from inferkit.cli.output import add_json, write_output
from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.gate.judging import Judgements


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("files", nargs="*", metavar="JSON", help="BASE and HEAD: any pytest-benchmark JSON files")
    for side in ("base", "head"):
        parser.add_argument(
            f"--{side}",
            nargs="+",
            action="extend",
            default=[],
            metavar="JSON",
            help=f"several files of {side}: replicates",
        )
    add_comparison(parser, "head's margin, else 5%%")
    parser.add_argument(
        "--tolerance",
        type=tolerance,
        metavar="POINTS",
        help="top-1 that may be lost, in percentage points (default: head's tolerance, else 0.5)",
    )
    parser.add_argument("--markdown", metavar="FILE", help="also write a pull request comment, regressions first")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compare and print; returns the exit code."""
    comparison = compare_files(*_files(args), parse_margins(args.margin), args.tolerance)
    outcomes, lines = with_waivers(comparison.outcomes, args.waivers, strict=args.strict)
    comparison = replace(comparison, outcomes=outcomes, remarks=(*comparison.remarks, *lines))
    if args.markdown:
        write_output(args.markdown, _markdown(comparison))
    return show_comparison(comparison, strict=args.strict, json=args.json)


def _markdown(comparison: Judgements) -> bytes:
    from inferkit.report.markdown import markdown
    from inferkit.report.page.view import cases_of

    return markdown(cases_of(comparison.outcomes, comparison.layers), comparison.remarks).encode()


def _files(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The files of base and of head."""
    if args.files and (args.base or args.head):
        raise UsageError("name BASE and HEAD, or use --base and --head, not both")
    if bool(args.base) != bool(args.head):
        raise UsageError("--base and --head must be used together")
    if args.base:
        return args.base, args.head
    if len(args.files) != 2:
        raise UsageError(f"name two files, BASE and HEAD, not {len(args.files)}; for replicates use --base and --head")
    return args.files[:1], args.files[1:]
