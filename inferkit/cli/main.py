"""The `inferkit` command: it runs one subcommand, and only that one's module is imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence
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
            commands[args.command].error(f"unrecognized arguments: {' '.join(unknown)}")
        with shown_on_stderr():
            code: int = import_module(COMMANDS[args.command][0]).run(args)
        return code

    return exit_code_of(program, arguments, run)


if __name__ == "__main__":
    sys.exit(main())
