"""`inferkit completion SHELL`: a script that completes the commands, options and files of `inferkit` in that shell.

The script is made from the commands' own parsers, by shtab, and holds everything: completing starts no Python.
"""

from __future__ import annotations

import argparse

from inferkit.cli.output import add_json, print_json
from inferkit.exit_codes import ExitCode

SHELLS = ("bash", "zsh", "fish")
_INSTALL = """to install it:
  bash  inferkit completion bash > ~/.local/share/bash-completion/completions/inferkit
  zsh   inferkit completion zsh > "${fpath[1]}/_inferkit"
  fish  inferkit completion fish > ~/.config/fish/completions/inferkit.fish"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _INSTALL
    parser.add_argument("shell", choices=SHELLS, help="shell that reads the script")
    add_json(parser, "print JSON: the shell and its script")


def run(args: argparse.Namespace) -> int:
    """Print the script; returns the exit code."""
    import shtab

    from inferkit.cli.commands import COMMANDS, parser_of

    parser = parser_of(COMMANDS)
    _complete_files(parser, shtab.FILE)
    script: str = shtab.complete(parser, args.shell)
    if args.json:
        print_json({"shell": args.shell, "script": script})
    else:
        print(script)
    return ExitCode.OK


def _complete_files(parser: argparse.ArgumentParser, how: object) -> None:
    """Complete file names for arguments that take any word: the others are known to the user only."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _complete_files(inner, how)
        elif (action.choices is None and action.nargs != 0 and action.type in (None, str)) or _is_path(action):
            action.complete = how  # type: ignore[attr-defined]


def _is_path(action: argparse.Action) -> bool:
    return getattr(action.type, "__name__", "") == "Path"
