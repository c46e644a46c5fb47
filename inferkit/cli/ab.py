"""`inferkit ab`: two commits, two models, two engines or two settings, interleaved on this machine."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.cli.compare import EXIT_CODES, parse_margins
from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.suite.interleaved.run import ABResult
    from inferkit.suite.interleaved.sides import Side

_MATRICES = ("matrix.toml", "bench/matrix.toml")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = EXIT_CODES
    parser.add_argument(
        "sides", nargs="*", metavar="BASE HEAD", help="two commits, two models, or two engine files; none: two settings"
    )
    for name in ("model", "precision", "batch-size", "backend"):
        parser.add_argument(
            f"--{name}", action="append", metavar="VALUE", help=f"only this {name} (repeat it, or commas)"
        )
    parser.add_argument("--matrix", metavar="FILE", help="the table of cases (default: matrix.toml, bench/matrix.toml)")
    for side in ("base", "head"):
        parser.add_argument(
            f"--{side}-set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help=f"a setting of {side}'s sessions, such as threads=2; build.KEY=VALUE is one of its builds",
        )
        parser.add_argument(
            f"--{side}-python", metavar="FILE", help=f"the Python that runs {side} (its own TensorRT, say)"
        )
    parser.add_argument(
        "--venv",
        nargs="?",
        const="",
        metavar="EXTRAS",
        help="install each commit with what it declares (and these extras) into an environment of its own",
    )
    parser.add_argument(
        "--margin",
        action="append",
        default=[],
        metavar="[PATTERN=]SHARE",
        help="how much slower is too slow (0.05 or 5%%), for all cases or those that match; else the matrix's, 2%%",
    )
    parser.add_argument("--blocks", default="4,8,12,20", metavar="N,…", help="looks: after so many blocks (4,8,12,20)")
    parser.add_argument(
        "--min-time", type=float, default=0.5, metavar="SECONDS", help="time measured per process (0.5)"
    )
    parser.add_argument("--seed", type=int, help="of the order of the sides (default: a random one, which is shown)")
    parser.add_argument(
        "--inject",
        action="append",
        default=[],
        metavar="KIND=SHARE",
        help="slow HEAD down really, to see whether it is found: latency=0.02, tail=0.5",
    )
    parser.add_argument("--strict", action="store_true", help="INCONCLUSIVE and MISSING cases give exit code 11")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure, judge and print; returns the exit code."""
    from inferkit.gate.comparison import Comparison
    from inferkit.gate.rules.interleaved import MARGIN
    from inferkit.report.progress import progress_on_stderr
    from inferkit.suite.interleaved.run import run_ab
    from inferkit.suite.matrix.selection import Selection

    margins = parse_margins(args.margin)
    if not 0 < args.min_time <= 3600:
        raise UsageError(f"--min-time is seconds above 0 and at most 3600, not {args.min_time:g}")
    counts = _counts(args.blocks)
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    with terminable(), contextlib.ExitStack() as stack:
        base, head = _sides(args, stack)
        selection = Selection(*(listed(getattr(args, n)) for n in ("model", "precision", "batch_size", "backend")))
        if head.engine is None:
            selection.check(head.matrix.cases())
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
    code = Comparison(result.outcomes).exit_code(args.strict)
    _print(result, base, head, code, args.json)
    return code


def _sides(args: argparse.Namespace, stack: contextlib.ExitStack) -> tuple[Side, Side]:
    from dataclasses import replace

    from inferkit.measure.engine.inject import checked
    from inferkit.suite.interleaved.sides import Side, file_sides, is_file_side, with_settings
    from inferkit.suite.matrix.read import load_matrix

    settings = _pairs(args.base_set), _pairs(args.head_set)
    if len(args.sides) == 1 or len(args.sides) > 2:
        raise UsageError("give BASE and HEAD, or neither and two settings (--base-set, --head-set)")
    if args.sides and all(map(is_file_side, args.sides)):
        base, head = file_sides(
            *map(Path, args.sides),
            precisions=listed(args.precision),
            batch_sizes=tuple(_whole(word, "--batch-size") for word in listed(args.batch_size)),
            backends=listed(args.backend),
        )
    elif args.sides:
        if any(map(is_file_side, args.sides)):
            raise UsageError(f"{' and '.join(args.sides)}: one is a file, the other is not")
        base, head = _commits(args, stack)
    else:
        other = (args.base_python, args.head_python, args.inject)
        if settings[0] == settings[1] and not any(other):
            raise UsageError(
                "nothing differs: name BASE and HEAD, or settings (--base-set threads=1 --head-set threads=2)"
            )
        matrix = load_matrix(matrix_file(args.matrix))
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
    from inferkit.suite.interleaved.worktree import checkout, commit_of, repository_of

    repository = repository_of(Path.cwd())
    commits = [commit_of(repository, ref) for ref in args.sides]
    here = matrix_file(args.matrix)
    base, head = (
        commit_side(name, stack.enter_context(checkout(repository, commit)), here, repository, args.venv)
        for name, commit in zip(("BASE", "HEAD"), commits, strict=True)
    )
    return base, head


def _by_python(side: Side, python: str | None) -> Side:
    from dataclasses import replace

    from inferkit.measure.jobs.interpreter import Interpreter, this_interpreter

    if python is None:
        return side
    by = side.by or Interpreter(home=this_interpreter().home)
    return replace(side, by=replace(by, python=python))


def matrix_file(given: str | None) -> Path:
    """The table of cases: the one named, else the first of the usual places. UsageError where there is none."""
    for name in [given] if given else _MATRICES:
        if Path(name).is_file():
            return Path(name).resolve()
    raise UsageError(f"there is no {given or ' or '.join(_MATRICES)} here; name the table of cases with --matrix")


def listed(values: list[str] | None) -> tuple[str, ...]:
    """Every word of a repeated, comma-separated option."""
    return tuple(word for value in values or () for word in value.replace(",", " ").split())


def _pairs(words: list[str]) -> dict[str, Any]:
    """`KEY=VALUE` words; a value is a number or true/false where it reads as one."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise UsageError(f"{word!r} is no KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def _share(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UsageError(f"--inject {key}={value}: a share is a number, such as 0.02")
    return float(value)


def _whole(word: str, option: str) -> int:
    if not word.isdecimal() or not 0 < int(word) <= 65_536:
        raise UsageError(f"{option} {word}: a whole number from 1 to 65536")
    return int(word)


def _counts(text: str) -> tuple[int, ...]:
    counts = tuple(_whole(word, "--blocks") for word in text.split(","))
    if counts[0] < 2 or any(later <= earlier for earlier, later in itertools.pairwise(counts)):
        raise UsageError(f"--blocks {text}: increasing counts from 2, such as 4,8,12,20")
    return counts


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """A polite kill ends like Ctrl-C: with everything removed."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(result: ABResult, base: Side, head: Side, code: int, as_json: bool) -> None:
    if as_json:
        logs = {
            case: {
                side: [each.log_median for each in found] for side, found in zip(("base", "head"), both, strict=True)
            }
            for case, both in result.replicates.items()
        }
        outcomes = [outcome.as_dict() for outcome in result.outcomes]
        told = {"outcomes": outcomes, "log_medians": logs, "seed": result.seed, "exit_code": code}
        print(json.dumps({**told, "layers": {case: diff.as_dict() for case, diff in result.layers.items()}}, indent=1))
        return
    from inferkit.report.layers import diff_lines
    from inferkit.report.outcomes import outcome_lines
    from inferkit.report.table import stdout_look

    width, color = stdout_look()
    for line in outcome_lines(result.outcomes, width=width, color=color):
        print(line)
    for line in diff_lines(result.layers, width=width, color=color):
        print(line)
    print(f"blocks of fresh processes in random order, seed {result.seed}")
    if code == 12:
        print("nothing to compare: no case of both sides could be measured")
