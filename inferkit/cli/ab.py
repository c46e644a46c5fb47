"""`inferkit ab`: two commits, two models, two engines or two settings, interleaved on this machine."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.cli.case_options import add_case_options, add_commit_options, check_min_time, matrix_file, selection_of
from inferkit.cli.comparing import add_comparison, parse_margins, show_outcomes, with_waivers
from inferkit.cli.output import add_json, print_json
from inferkit.errors import UsageError
from inferkit.exit_codes import ExitCode
from inferkit.suite.terminable import terminable

if TYPE_CHECKING:
    from inferkit.suite.interleaved.run import ABResult
    from inferkit.suite.interleaved.sides import Side
    from inferkit.suite.matrix.selection import Selection


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "sides", nargs="*", metavar="BASE HEAD", help="two commits, models or engine files; none: two settings"
    )
    add_case_options(parser)
    for side in ("base", "head"):
        parser.add_argument(
            f"--{side}-set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help=f"session setting of {side}, such as threads=2, or its build setting as build.KEY=VALUE",
        )
        parser.add_argument(
            f"--{side}-python", metavar="FILE", help=f"Python that runs {side}, for example with another TensorRT"
        )
    add_commit_options(parser)
    add_comparison(parser, "the matrix's margin, else 2%%")
    parser.add_argument(
        "--blocks",
        default="4,8,12,20",
        metavar="N,N,...",
        help="interim analyses: numbers of blocks after which results are evaluated (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, help="seed of the order within blocks (default: random, and shown)")
    parser.add_argument(
        "--inject",
        action="append",
        default=[],
        metavar="KIND=SHARE",
        help="inject a slowdown into HEAD to test detection: latency=0.02, tail=0.5",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, judge and print; returns the exit code."""
    from inferkit.gate.comparison import exit_code
    from inferkit.gate.rules.interleaved import MARGIN
    from inferkit.report.progress import progress_on_stderr
    from inferkit.suite.interleaved.run import run_ab
    from inferkit.suite.matrix.files import require_files

    margins = parse_margins(args.margin)
    check_min_time(args)
    counts = _counts(args.blocks)
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    selection = selection_of(args)
    with terminable(), contextlib.ExitStack() as stack:
        base, head = _sides(args, selection, stack)
        if head.engine is None:
            selection.check(head.matrix.cases())
            if any(
                network.where for network in head.matrix.networks
            ):  # a model that was named is its case's own failure
                require_files(head.matrix, selection.of(head.matrix.cases()))
        networks = head.matrix.cases().items()
        stated = {case.id: head.matrix.latency_margin(case, network, MARGIN) for case, network in networks}
        result = run_ab(
            base,
            head,
            (lambda case: True) if head.engine is not None else selection.wants,
            margin=lambda case: margins(case) or stated[case],
            counts=counts,
            min_time=args.min_time,
            seed=seed,
            progress=progress_on_stderr(),
        )
    outcomes, remarks = with_waivers(result.outcomes, args.waivers, strict=args.strict)
    code = exit_code(outcomes, args.strict)
    _print(replace(result, outcomes=outcomes), seed, code, args.json, remarks)
    return code


def _sides(args: argparse.Namespace, selection: Selection, stack: contextlib.ExitStack) -> tuple[Side, Side]:
    from inferkit.measure.engine.inject import checked
    from inferkit.suite.interleaved.sides import Side, file_sides, is_file_side, with_settings
    from inferkit.suite.matrix.read import load_matrix

    settings = _pairs(args.base_set), _pairs(args.head_set)
    if len(args.sides) == 1 or len(args.sides) > 2:
        raise UsageError("name BASE and HEAD, or neither and two settings (--base-set, --head-set)")
    if args.sides and all(map(is_file_side, args.sides)):
        base, head = file_sides(
            *map(Path, args.sides),
            precisions=selection.precision,
            batch_sizes=tuple(_whole(word, "--batch-size") for word in selection.batch_size),
            backends=selection.backend,
        )
    elif args.sides:
        if any(map(is_file_side, args.sides)):
            raise UsageError(
                f"{args.sides[0]} and {args.sides[1]}: one is a file, the other is not; name two of a kind"
            )
        base, head = _commits(args, stack)
    else:
        if settings[0] == settings[1] and not any((args.base_python, args.head_python, args.inject)):
            raise UsageError(
                "base and head are the same: name BASE and HEAD, or two settings "
                "(--base-set threads=1 --head-set threads=2)"
            )
        matrix = load_matrix(matrix_file(args))
        base, head = Side("BASE", matrix), Side("HEAD", matrix)
    base, head = with_settings(base, settings[0]), with_settings(head, settings[1])
    base, head = _by_python(base, args.base_python), _by_python(head, args.head_python)
    for side in (base, head):
        if side.by is not None:
            side.by.check()
    injected = {key: _share(key, value) for key, value in _pairs(args.inject).items()}
    return base, replace(head, inject=checked(injected))


def _commits(args: argparse.Namespace, stack: contextlib.ExitStack) -> tuple[Side, Side]:
    from inferkit.suite.interleaved.commits import commit_side
    from inferkit.suite.interleaved.worktree import checkout
    from inferkit.suite.repository import commit_of, repository_of

    repository = repository_of(Path.cwd())
    commits = [commit_of(repository, ref) for ref in args.sides]
    matrix = matrix_file(args)
    base, head = (
        commit_side(name, stack.enter_context(checkout(repository, commit)), matrix, repository, args.venv)
        for name, commit in zip(("BASE", "HEAD"), commits, strict=True)
    )
    return base, head


def _by_python(side: Side, python: str | None) -> Side:
    from inferkit.measure.jobs.interpreter import Interpreter, this_interpreter

    if python is None:
        return side
    by = side.by or Interpreter(home=this_interpreter().home)
    return replace(side, by=replace(by, python=python))


def _pairs(words: list[str]) -> dict[str, Any]:
    """`KEY=VALUE` words; a value is a number or true/false where it reads as one."""
    pairs: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise UsageError(f"{word!r} is not KEY=VALUE")
        try:
            pairs[key] = json.loads(value)
        except ValueError:
            pairs[key] = value
    return pairs


def _share(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UsageError(f"--inject {key}={value}: the share must be a number, such as 0.02")
    return float(value)


def _whole(word: str, option: str) -> int:
    if not word.isdecimal() or not 0 < int(word) <= 65_536:
        raise UsageError(f"{option} {word}: must be a whole number from 1 to 65536")
    return int(word)


def _counts(text: str) -> tuple[int, ...]:
    counts = tuple(_whole(word, "--blocks") for word in text.split(","))
    if counts[0] < 2 or any(later <= earlier for earlier, later in itertools.pairwise(counts)):
        raise UsageError(f"--blocks {text}: must be increasing numbers from 2, such as 4,8,12,20")
    return counts


def _print(result: ABResult, seed: int, code: ExitCode, as_json: bool, remarks: Sequence[str] = ()) -> None:
    if as_json:
        log_medians = {
            case: {"base": [each.log_median for each in base], "head": [each.log_median for each in head]}
            for case, (base, head) in result.replicates.items()
        }
        content = {
            "outcomes": [outcome.as_dict() for outcome in result.outcomes],
            "log_medians": log_medians,
            "seed": seed,
            "remarks": list(remarks),
            "exit_code": code,
            "layers": {case: diff.as_dict() for case, diff in result.layers.items()},
        }
        print_json(content)
        return
    show_outcomes(result.outcomes, result.layers, [f"blocks of fresh processes in random order, seed {seed}", *remarks])
    if code is ExitCode.NOTHING:
        print("nothing to compare: no case that base and head have could be measured")
