"""The suite's pytest options: long names always, short ones only where no one else has taken them.

A project's conftest.py may define `--model` itself, and a plugin that took the name first would break it. So the long
names (`--inferkit-model`) are registered with the plugin, and the short ones after the project's own conftest files.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inferkit.gate.stated.strict import ALL, WORDS, strict_verdicts
from inferkit.measure.machine import busy_host
from inferkit.suite.matrix.selection import CASE_OPTIONS, CONFIRM, Selection

FIXTURES = ("inferkit_latency", "inferkit_accuracy", "inferkit_service")  # what a test of the suite asks for
HISTORY_INI = "inferkit_history"
_GROUP = "inferkit: cases to measure, how to measure and judge them, reports"


class StrictAction(argparse.Action):
    """`--inferkit-strict` is every word, `--inferkit-strict=invalid,no_baseline` these.

    `--inferkit-strict bench` names tests after it, as it did when it took no words: a path goes back to pytest.
    """

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Called by argparse."""
        words = [word for word in str(values).split(",") if word]
        try:
            verdicts = strict_verdicts(words)
        except ValueError as error:
            if Path(words[0].partition("::")[0]).exists():
                extra = [*getattr(namespace, argparse._UNRECOGNIZED_ARGS_ATTR, []), values]  # type: ignore[attr-defined]
                setattr(namespace, argparse._UNRECOGNIZED_ARGS_ATTR, extra)  # type: ignore[attr-defined]
                verdicts = strict_verdicts([ALL])
            else:
                raise argparse.ArgumentError(self, str(error)) from None
        setattr(namespace, self.dest, (getattr(namespace, self.dest, None) or frozenset()) | verdicts)


@dataclass(frozen=True)
class Option:
    """One option: `--NAME`, `--inferkit-NAME`. A `kind` of None is a flag."""

    name: str
    kind: Callable[[str], Any] | None
    metavar: str
    help: str
    repeated: bool = False
    short: bool = True
    action: type[argparse.Action] | None = None

    @property
    def dest(self) -> str:
        """The attribute of config.option that both names fill."""
        return "inferkit_" + self.name.replace("-", "_")

    def keywords(self) -> dict[str, Any]:
        """The arguments of addoption that both names share."""
        if self.kind is None:
            return {"dest": self.dest, "action": "store_true", "default": False, "help": self.help}
        if self.action is not None:
            keywords = {"nargs": "?", "const": ALL, "default": None, "metavar": self.metavar, "help": self.help}
            return {"dest": self.dest, "action": self.action, **keywords}
        action = "append" if self.repeated else "store"
        return {
            "dest": self.dest,
            "action": action,
            "type": self.kind,
            "default": None,
            "metavar": self.metavar,
            "help": self.help,
        }


def _positive(kind: type) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not 0 < value < 1e9:
            raise argparse.ArgumentTypeError(f"must be a {'whole ' if kind is int else ''}number above 0, not {text!r}")
        return value

    return parse


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise argparse.ArgumentTypeError(f"must be {', '.join(words[:-1])} or {words[-1]}, not {text!r}")
        return text

    return parse


OPTIONS = (
    *(
        Option(name.replace("_", "-"), str, metavar, text, repeated=True)
        for name, (metavar, text) in CASE_OPTIONS.items()
    ),
    Option("matrix", str, "FILE", "the table of cases (default: matrix.toml beside the tests)"),
    Option("baseline-dir", str, "DIR", "where the baselines are (default: baselines/ in the root folder)"),
    Option("replicates", _positive(int), "N", "fresh processes per latency case (default: the matrix's, 3)"),
    Option("for-baseline", None, "", "measure noisy cases in more processes (up to 20), until their baseline can gate"),
    Option("builds", _positive(int), "N", "engines built anew per TensorRT case (default: 3 if the network changed)"),
    Option("min-time", _positive(float), "SECONDS", "time measured per process (default: the matrix's, 0.5)"),
    Option("time-budget", _positive(float), "SECONDS", "total time for all latency cases, shared among them"),
    Option("report", str, "OUT.html", "write the run as one HTML file that opens offline"),
    Option("against", str, "REF", "judge latencies against this commit, measured interleaved with HEAD"),
    Option(
        "confirm",
        _one_of(CONFIRM),
        "|".join(CONFIRM),
        "which cases are measured in turns with the baseline's commit (default: the matrix's, suspects)",
    ),
    Option(
        "confirm-budget", _positive(float), "SECONDS", "of one case's blocks, until it stays undecided (default: 90)"
    ),
    Option("ray", str, "ADDRESS", "measure on the workers of this Ray cluster (127.0.0.1:6379, local)"),
    Option("verdict-json", str, "FILE", "write every case's verdict to this JSON file"),
    Option("history", str, "FILE", "add the run to this history (default: history.duckdb in $INFERKIT_CACHE)"),
    Option("no-history", None, "", "add the run to no history"),
    Option("github", None, "", "write annotations and a job summary for GitHub Actions"),
    Option(busy_host.OPTION.removeprefix("--"), None, "", busy_host.HELP),
    Option(
        "strict",
        str,
        "WORDS",
        f"these fail too: {', '.join(WORDS)} (without WORDS: all; default: what the matrix says)",
        short=False,
        action=StrictAction,
    ),
)


def add_long_options(parser: pytest.Parser) -> None:
    """Register `--inferkit-…`, and what a project can state in its ini file."""
    group = parser.getgroup("inferkit", _GROUP)
    parser.addini(
        HISTORY_INI, "as --history FILE, relative to the ini file; none: runs are added to no history", default=""
    )
    for option in OPTIONS:
        group.addoption(f"--inferkit-{option.name}", **option.keywords())


def add_short_options(parser: pytest.Parser) -> None:
    """Register the short names that are still free."""
    group = parser.getgroup("inferkit", _GROUP)
    taken = _taken(parser)
    for option in OPTIONS:
        if option.short and f"--{option.name}" not in taken:
            with contextlib.suppress(ValueError, argparse.ArgumentError):
                group.addoption(f"--{option.name}", **option.keywords())


def _taken(parser: pytest.Parser) -> set[str]:
    """The options of other groups, which pytest 8 would only find to be the same when it parses, and then ends.

    pytest 9 keeps no such lists: it refuses a name when it is added.
    """
    groups = [*getattr(parser, "_groups", ()), getattr(parser, "_anonymous", None)]
    options = [option for group in groups for option in getattr(group, "options", ())]
    return {name for option in options if hasattr(option, "names") for name in option.names()}


def option(config: pytest.Config, name: str) -> Any:
    """The value of an option, None (or False) where it was not given."""
    return getattr(config.option, "inferkit_" + name.replace("-", "_"), None)


def selection(config: pytest.Config) -> Selection:
    """What --model, --precision, --batch-size and --backend leave of the matrix."""
    return Selection.from_options({name: option(config, name) for name in CASE_OPTIONS})
