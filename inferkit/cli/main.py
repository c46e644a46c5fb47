"""The `inferkit` command: it runs one subcommand, and only that one's module is imported."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from inferkit.cli.commands import COMMANDS, parsers
from inferkit.cli.ending import exit_code_of
from inferkit.report.progress import shown_on_stderr


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns its exit code. An error is one line on stderr, without a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    named = [word for word in arguments if not word.startswith("-")][:1]
    program = " ".join(["inferkit", *(name for name in named if name in COMMANDS)])

    def run() -> int:
        parser, commands = parsers(named)
        args, unknown = parser.parse_known_args(arguments)
        if unknown:
            commands[args.command].error(
                f"unrecognized arguments: {' '.join(unknown)}{_near(commands[args.command], unknown)}"
            )
        with shown_on_stderr():
            code: int = import_module(COMMANDS[args.command][0]).run(args)
        return code

    return exit_code_of(program, arguments, run)


def _near(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> str:
    """The options that an unknown one begins, or is nearly: they are not abbreviated."""
    options = [option for action in parser._actions for option in action.option_strings]
    given = next((word.partition("=")[0] for word in unknown if word.startswith("--")), "")
    near = [option for option in options if given and option.startswith(given)] or get_close_matches(given, options, 1)
    return f"; did you mean {' or '.join(near)}?" if near else ""


if __name__ == "__main__":
    sys.exit(main())
