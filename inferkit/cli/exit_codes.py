"""The exit codes of every command as one table, read off what each says at the end of its `--help`."""

from __future__ import annotations

import re

# What every command has besides: Python's argparse and an interrupt decide these.
ALWAYS = {2: "usage", 130: "interrupted"}


def exit_codes(epilog: str) -> dict[int, str]:
    """Meaning by code, from `exit codes: 0 done · 1 failed`; empty where the text has no such line."""
    _, found, text = epilog.partition("exit codes:")
    if not found:
        return {}
    parts = [" ".join(part.split()) for part in text.split("·")]
    matched = [re.fullmatch(r"(\d+) (.+)", part) for part in parts]
    return {int(each[1]): each[2] for each in matched if each is not None}


def table() -> dict[str, dict[int, str]]:
    """Exit codes by command, of all commands."""
    from inferkit.cli.main import COMMANDS, parser_of

    parser = parser_of(COMMANDS)
    (commands,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))
    return {name: {**exit_codes(command.epilog or ""), 130: ALWAYS[130]} for name, command in commands.items()}
