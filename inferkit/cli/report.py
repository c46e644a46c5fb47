"""`inferkit report`: a run, alone or compared with others, as one HTML file."""

from __future__ import annotations

import argparse
from pathlib import Path

from inferkit.cli.output import add_json, print_json
from inferkit.errors import UsageError
from inferkit.exit_codes import ExitCode


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("run", metavar="RUN.json", help="file that `pytest --benchmark-json RUN.json` wrote")
    parser.add_argument(
        "base", nargs="*", metavar="BASE.json", help="files to compare it with; several are replicates of base"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="OUT.html", help="HTML file to write")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a pull request comment, regressions first")
    parser.add_argument(
        "--baseline-dir",
        type=Path,
        default=Path("baselines"),
        metavar="DIR",
        help="folder of baselines, whose replicates are shown where no BASE is named (default: %(default)s)",
    )
    parser.add_argument(
        "--load",
        action="append",
        default=[],
        metavar="LOAD.json",
        help="also show this output of `inferkit serve-bench --delays ... --json`; repeatable",
    )
    parser.add_argument(
        "--history", type=Path, metavar="FILE", help="history to show (default: history.duckdb in $INFERKIT_CACHE)"
    )
    parser.add_argument("--no-history", action="store_true", help="show no history")
    add_json(parser, "print what was written as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the report; returns the exit code."""
    from inferkit.gate.files.run_file import read_sides
    from inferkit.gate.history.store import History
    from inferkit.report.charts.load_curves import read_load
    from inferkit.report.write import view_of_files, write_html, write_markdown

    if args.output is None and args.markdown is None:
        raise UsageError("name the file to write: -o OUT.html, --markdown FILE, or both")
    history = None if args.no_history else History(args.history)
    loads = [read_load(path) for path in args.load]
    base, (head,) = read_sides(args.base, [args.run])
    view = view_of_files(head, base, Path(args.run), args.baseline_dir)
    written = [path for path in (args.output, args.markdown) if path is not None]
    path = written[0]
    try:
        for path in written:
            if path is args.markdown:
                write_markdown(path, view)
            else:
                write_html(path, view, loads, history)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
    if args.json:
        files = {"written": args.output and str(args.output), "markdown": args.markdown and str(args.markdown)}
        print_json({**files, "verdict": view.verdict, "counts": view.counts})
    else:
        sizes = ", ".join(f"{path} ({path.stat().st_size / 1e6:.2f} MB)" for path in written)
        print(f"{view.verdict}; written: {sizes}")
    return ExitCode.OK
