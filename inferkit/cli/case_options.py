"""The options that name a matrix, select its cases and say how commits are measured, for `ab`, `bisect`, `gate`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.suite.matrix.selection import Selection


def add_case_options(parser: argparse.ArgumentParser) -> None:
    """The options that `selection_of` and `matrix_file` read."""
    from inferkit.suite.matrix.selection import CASE_OPTIONS

    for name, (metavar, text) in CASE_OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="append", metavar=metavar, help=text)
    add_busy_option(parser)
    parser.add_argument("--matrix", metavar="FILE", help="table of cases (default: matrix.toml, bench/matrix.toml)")


def add_busy_option(parser: argparse.ArgumentParser) -> None:
    """The option that lets a busy host pass."""
    from inferkit.measure.machine import busy_host

    class Accept(argparse.Action):
        def __call__(self, *_: object) -> None:
            busy_host.accept()

    parser.add_argument(busy_host.OPTION, action=Accept, nargs=0, help=busy_host.HELP)


def add_commit_options(parser: argparse.ArgumentParser) -> None:
    """How commits are installed and measured; `check_min_time` checks the time."""
    parser.add_argument(
        "--venv",
        nargs="?",
        const="",
        metavar="EXTRAS",
        help="install each commit, with its dependencies and these extras, in an environment of its own",
    )
    parser.add_argument(
        "--min-time",
        type=float,
        default=0.5,
        metavar="SECONDS",
        help="time measured per process (default: %(default)s)",
    )


def check_min_time(args: argparse.Namespace) -> None:
    """UsageError where --min-time is no time that a process measures."""
    if not 0 < args.min_time <= 3600:
        raise UsageError(f"--min-time is seconds above 0 and at most 3600, not {args.min_time:g}")


def selection_of(args: argparse.Namespace) -> Selection:
    """The cases that the options select."""
    from inferkit.suite.matrix.selection import Selection

    return Selection.from_options(vars(args))


def matrix_file(args: argparse.Namespace) -> Path:
    """The matrix that --matrix names, else the first of the usual ones. UsageError where there is none."""
    from inferkit.suite.matrix.read import USUAL_FILES

    for name in [args.matrix] if args.matrix else USUAL_FILES:
        if Path(name).is_file():
            return Path(name).resolve()
    raise UsageError(f"{args.matrix or ' and '.join(USUAL_FILES)}: no such file; name the table of cases with --matrix")
