"""`inferkit bisect`: the first commit that made a case worse, each step held against a good commit."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.cli.bisect_text import Told
from inferkit.cli.case_options import add_case_options, add_commit_options, check_min_time, matrix_file, selection_of
from inferkit.cli.comparing import parse_margins
from inferkit.cli.output import add_json_or_file, json_output
from inferkit.errors import UsageError, some
from inferkit.exit_codes import ExitCode
from inferkit.suite.terminable import terminable

if TYPE_CHECKING:
    from inferkit.measure.case import Case
    from inferkit.suite.bisect.history import GitHistory
    from inferkit.suite.bisect.question import Question, State
    from inferkit.suite.bisect.run import Answer
    from inferkit.suite.bisect.search import Search
    from inferkit.suite.matrix.definition import Matrix


# Metrics without noise by the word for them on the command line.
_EXACT = {"engine-size": "engine size", "device-memory": "device memory", "top-1": "top-1"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "commits", nargs="*", metavar="GOOD BAD", help="a commit that was fast enough, and a later one that is not"
    )
    parser.add_argument("--case", metavar="PATTERN", help="the case to search with, by its id (lenet-fp32-b1-*)")
    parser.add_argument(
        "--metric",
        choices=["latency", *_EXACT],
        default="latency",
        help="what became worse (default: %(default)s; the others are values without noise, measured once a commit)",
    )
    add_case_options(parser)
    parser.add_argument(
        "--margin",
        metavar="SHARE",
        help="change from GOOD to BAD that is a regression (0.05 or 5%%; of top-1: points; default: the matrix's, else "
        "2%%, of top-1 0.5 points)",
    )
    add_commit_options(parser)
    parser.add_argument("--first-parent", action="store_true", help="take a merged branch as one step: its merge")
    parser.add_argument(
        "--all", action="store_true", help="go on in the commits before and after it, where these hold more slowdowns"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the search that was interrupted")
    parser.add_argument(
        "--state", metavar="FILE", help="where the search is kept (default: inferkit-bisect.json in git's folder)"
    )
    add_json_or_file(parser)


def run(args: argparse.Namespace) -> int:
    """Search and print; returns the exit code."""
    from inferkit.suite.bisect.history import GitHistory, git_folder
    from inferkit.suite.bisect.kept import read_state
    from inferkit.suite.bisect.question import STATE_FILE, State
    from inferkit.suite.repository import repository_of

    check_min_time(args)
    repository = repository_of(Path.cwd())
    path = Path(args.state) if args.state else git_folder(repository) / STATE_FILE
    with terminable(), json_output(args.json) as write:
        if args.resume:
            kept = read_state(path, repository)
            _check_resumed(args, kept, repository)
            state = State(kept.question, kept.search.resumed())
        else:
            state = _asked(args, repository)
        history = GitHistory(repository, state.question.first_parent)
        waiting, answers, codes = [state], [], []
        while waiting:
            state = waiting.pop(0)
            answer = _searched(state, history, path)
            answers.append(_as_dict(state, answer, history))
            codes.append(_exit_code(answer))
            write({"searches": answers, "exit_code": codes[0]})
            if args.all:
                waiting += _rest(state, answer, history)
    return codes[0]


def _asked(args: argparse.Namespace, repository: Path) -> State:
    """The search that the arguments ask for, at its beginning. UsageError where it makes no sense."""
    from inferkit.gate.metrics import LATENCY
    from inferkit.suite.bisect.checkouts import NotMeasurable, commit_checkout
    from inferkit.suite.bisect.history import GitHistory
    from inferkit.suite.bisect.question import Question
    from inferkit.suite.matrix.selection import CASE_OPTIONS
    from inferkit.suite.repository import commit_of

    if len(args.commits) != 2:
        raise UsageError("name two commits, GOOD and BAD, or --resume a search that was interrupted")
    metric = _EXACT.get(args.metric, LATENCY)
    margins = parse_margins([args.margin] if args.margin else [])
    good, bad = (commit_of(repository, ref) for ref in args.commits)
    GitHistory(repository, args.first_parent).check(good, bad)
    matrix, selection = matrix_file(args), selection_of(args)
    try:
        with commit_checkout("GOOD", repository, good, matrix) as side:
            declared = side.matrix.cases()
            selection.check(declared)
            case = _one(args.case, selection.of(declared), args.commits[0])
            margin = margins(case.id) or _stated_margin(side.matrix, case, metric)
    except NotMeasurable as error:
        raise UsageError(f"GOOD ({good[:10]}) cannot be measured: {error}") from error
    question = Question(
        good,
        bad,
        case.id,
        tuple(word for name in CASE_OPTIONS for word in (f"--{name.replace('_', '-')}", str(getattr(case, name)))),
        metric,
        margin,
        str(matrix),
        args.venv,
        args.first_parent,
        args.min_time,
    )
    return _begun(question, repository)


def _stated_margin(matrix: Matrix, case: Case, metric: str) -> float:
    """The matrix's margin of a metric of the case, else the default. UsageError where it is an amount, not a share."""
    from inferkit.gate.metrics import ACCURACY, LATENCY, METRICS
    from inferkit.gate.rules.interleaved import MARGIN
    from inferkit.suite.matrix.definition import AccuracyCase

    network = matrix.cases()[case]
    if metric == LATENCY:
        return matrix.latency_margin(case, network, MARGIN)
    named = AccuracyCase(case.model, case.precision, case.backend) if metric == ACCURACY else case
    stated = matrix.margins_of(named, network).get(metric)
    if stated is None:
        return METRICS[metric].margin or 0.0
    if metric != ACCURACY and not stated.is_share:
        raise UsageError(f"the matrix's margin of {metric} is {stated.text}; state a share with --margin")
    return stated.amount


def _one(pattern: str | None, cases: Sequence[Case], good: str) -> Case:
    """The one case that matches. UsageError for none or several."""
    matching = [case for case in cases if fnmatchcase(case.id, pattern or "*")]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        named = ", ".join(case.id for case in cases[:5])
        raise UsageError(f"no case of {good} matches --case {pattern}; it has {named}")
    named = some([case.id for case in matching], 5)
    raise UsageError(f"a search is for one case; name one of {named} with --case")


def _begun(question: Question, repository: Path) -> State:
    from inferkit.suite.bisect.history import GitHistory
    from inferkit.suite.bisect.question import State
    from inferkit.suite.bisect.search import Search

    commits = GitHistory(repository, question.first_parent).between([question.good], question.bad)
    return State(question, Search(question.good, question.bad, len(commits)))


def _check_resumed(args: argparse.Namespace, kept: State, repository: Path) -> None:
    """UsageError where commits are named that are not those of the search, or other options than it began with."""
    from inferkit.suite.repository import commit_of

    parser = argparse.ArgumentParser()
    configure(parser)
    of_resuming = ("commits", "resume", "state", "all", "json", "accept_busy_host")
    changed = [
        f"--{name.replace('_', '-')}"
        for name, default in vars(parser.parse_args([])).items()
        if name not in of_resuming and getattr(args, name) != default
    ]
    if changed:
        raise UsageError(f"a search goes on with what it began with: leave out {', '.join(changed)}, or --resume")
    question = kept.question
    named = [commit_of(repository, ref) for ref in args.commits]
    if named and named != [question.good, question.bad]:
        raise UsageError(
            f"the search to resume is of {question.good[:10]} and {question.bad[:10]}; leave out GOOD BAD, or --resume"
        )


def _searched(state: State, history: GitHistory, path: Path) -> Answer:
    """The answer to one question, printed as it comes; the state stays where there is something to go on with."""
    from inferkit.report.progress import progress_on_stderr
    from inferkit.suite.bisect.exact import ExactTrials
    from inferkit.suite.bisect.latency import LatencyTrials
    from inferkit.suite.bisect.question import State
    from inferkit.suite.bisect.run import run_search

    told = Told(state, history)

    def on_step(search: Search) -> None:
        State(state.question, search).write(path)
        told.step(search)

    told.begin(str(path))
    make = ExactTrials if state.question.metric in _EXACT.values() else LatencyTrials
    try:
        with make(history.repository, state.question, progress_on_stderr) as trials:
            answer = run_search(state.search, history, trials, lambda commit: history.facts(commit).parents[0], on_step)
    except KeyboardInterrupt:
        print(f"go on with: inferkit bisect --resume --state {path}", file=sys.stderr)
        raise
    told.end(answer)
    if not answer.may_go_on:
        with contextlib.suppress(OSError):
            path.unlink()
    return answer


def _rest(state: State, answer: Answer, history: GitHistory) -> list[State]:
    """The searches before and after the found commit, where there is something to search in."""
    from dataclasses import replace

    if answer.found is None:
        return []
    question, parent = state.question, history.facts(answer.found).parents[0]
    parts = [(question.good, parent), (answer.found, question.bad)]
    return [
        _begun(replace(question, good=good, bad=bad), history.repository)
        for good, bad in parts
        if good != bad and history.is_ancestor(good, bad)
    ]


def _exit_code(answer: Answer) -> ExitCode:
    from inferkit.gate.outcome import Verdict

    if answer.stopped is not None:
        return ExitCode.NOTHING if answer.stopped.verdict is Verdict.MISSING else ExitCode.INVALID
    if answer.suspects:
        return ExitCode.REGRESSED
    assert answer.search.verification is not None
    undecided = answer.search.verification.outcome.verdict is Verdict.INCONCLUSIVE
    return ExitCode.UNDECIDED if undecided else ExitCode.OK


def _as_dict(state: State, answer: Answer, history: GitHistory) -> dict[str, Any]:
    confirmation = answer.confirmation
    layers = None if confirmation is None else confirmation.layers
    return {
        "question": asdict(state.question),
        "search": answer.search.as_dict(),
        "found": None if answer.found is None else asdict(history.facts(answer.found)),
        "suspects": list(answer.suspects),
        "stopped": None if answer.stopped is None else answer.stopped.as_dict(),
        "confirmation": None if confirmation is None else confirmation.outcome.as_dict(),
        "layers": None if layers is None else layers.as_dict(),
        "exit_code": _exit_code(answer),
    }
