"""`inferkit completion SHELL`: a script that completes the commands, options and files of `inferkit` in that shell.

The script is made from the commands' own parsers, by shtab, and holds everything: completing starts no Python.
"""

from __future__ import annotations

import argparse
import json

SHELLS = ("bash", "zsh", "fish")
_INSTALL = """for good:
  bash  inferkit completion bash > ~/.local/share/bash-completion/completions/inferkit
  zsh   inferkit completion zsh > "${fpath[1]}/_inferkit"
  fish  inferkit completion fish > ~/.config/fish/completions/inferkit.fish
exit codes: 0 printed · 2 usage"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _INSTALL
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads the script")
    parser.add_argument("--json", action="store_true", help="print JSON: the shell and its script")


def run(args: argparse.Namespace) -> int:
    """Print the script; returns the exit code."""
    import shtab

    from inferkit.cli.main import COMMANDS, parser_of

    parser = parser_of(COMMANDS)
    _complete_files(parser, shtab.FILE)
    script: str = shtab.complete(parser, args.shell)
    print(json.dumps({"shell": args.shell, "script": script}) if args.json else script)
    return 0


def _complete_files(parser: argparse.ArgumentParser, how: object) -> None:
    """Arguments that take any word name a file, or what only the user knows: files are what can be offered."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _complete_files(inner, how)
        elif (action.choices is None and action.nargs != 0 and action.type in (None, str)) or _is_path(action):
            action.complete = how  # type: ignore[attr-defined]


def _is_path(action: argparse.Action) -> bool:
    return getattr(action.type, "__name__", "") == "Path"
