"""What `compare`, `ab` and `diff` share: the margins, and how a comparison of base and head is made and shown."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from inferkit.cli.output import print_json
from inferkit.errors import UsageError
from inferkit.exit_codes import ExitCode

if TYPE_CHECKING:
    from inferkit.gate.comparison import Margins
    from inferkit.gate.judging import Judgements
    from inferkit.gate.layer_diff import LayerDiff
    from inferkit.gate.outcome import Outcome


def add_comparison(parser: argparse.ArgumentParser, default_margin: str) -> None:
    """--margin, for `parse_margins`, and --strict."""
    parser.add_argument(
        "--margin",
        action="append",
        default=[],
        metavar="[PATTERN=]SHARE",
        help="slowdown that is a regression (0.05 or 5%%), for all cases or those that match PATTERN; the last match "
        f"counts (default: {default_margin})",
    )
    parser.add_argument("--strict", action="store_true", help="exit code 11 for INCONCLUSIVE and MISSING cases")
    parser.add_argument(
        "--waivers", metavar="FILE", help="cases that this file waives (waivers.toml of a matrix) fail nothing"
    )


def with_waivers(
    outcomes: Sequence[Outcome], file: str | None, *, strict: bool
) -> tuple[tuple[Outcome, ...], tuple[str, ...]]:
    """The outcomes with what the file waives as WAIVED, and a line for each waiver that is not needed.

    UsageError for a file with mistakes.
    """
    if file is None:
        return tuple(outcomes), ()
    from inferkit.gate.outcome import FAILING, Verdict
    from inferkit.gate.stated.waivers import needless, today, waived
    from inferkit.suite.matrix.waivers import read_waivers

    waivers = read_waivers(file)
    failing = FAILING | ({Verdict.INCONCLUSIVE} if strict else frozenset())
    shown = waived(outcomes, waivers, today(), failing)
    lines = (needless(waiver, shown, today(), whole=True, failing=failing) for waiver in waivers)
    return shown, tuple(filter(None, lines))


def parse_margins(words: Sequence[str]) -> Margins:
    """The margin of a case id from `[PATTERN=]SHARE` words. UsageError for one that is not a share above 0."""
    stated = [_margin(word) for word in words]

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
    if share > 1 and not text.endswith("%"):
        raise UsageError(f"--margin {word}: that would be {share:.0%}; write {text}% or {share / 100:g}")
    if not 0 < share <= 10:
        raise UsageError(f"--margin {word}: a margin is a share above 0 and at most 10, such as 0.05 or 5%")
    return pattern or "*", share


def compare_files(
    base: Sequence[str], head: Sequence[str], margins: Margins | None = None, tolerance: float | None = None
) -> Judgements:
    """The comparison of benchmark JSON files; several of base or head are replicates. BaselineError for a bad file."""
    from inferkit.gate.comparison import compare
    from inferkit.gate.files.run_file import read_sides

    return compare(*read_sides(base, head), margins=margins, tolerance=tolerance)


def show_comparison(comparison: Judgements, *, strict: bool = False, json: bool = False) -> ExitCode:
    """Print the comparison, as JSON or as a table; returns its exit code."""
    from inferkit.gate.comparison import exit_code

    code = exit_code(comparison.outcomes, strict)
    if json:
        outcomes = [outcome.as_dict() for outcome in comparison.outcomes]
        layers = {case: diff.as_dict() for case, diff in comparison.layers.items()}
        print_json({"outcomes": outcomes, "remarks": comparison.remarks, "layers": layers, "exit_code": code})
        return code
    show_outcomes(comparison.outcomes, comparison.layers, comparison.remarks)
    if code is ExitCode.NOTHING:
        print("nothing to compare: base and head have no case in common")
    return code


def show_outcomes(
    outcomes: Sequence[Outcome], layers: Mapping[str, LayerDiff] | None = None, remarks: Iterable[str] = ()
) -> None:
    """Print the table of outcomes, each explained with the layers that changed it, and remarks."""
    from inferkit.report.outcomes import outcome_lines
    from inferkit.report.table import stdout_look

    width, color = stdout_look()
    lines = outcome_lines(outcomes, layers, width=width, color=color)
    for line in (*lines, *remarks):
        print(line)
