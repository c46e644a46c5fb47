"""A command called in this process: its exit code, also where argparse would have ended the process."""

from __future__ import annotations

from collections.abc import Sequence

from inferkit.cli.main import main


def exit_code(arguments: Sequence[str]) -> int:
    """What a shell sees."""
    try:
        return main(arguments)
    except SystemExit as ended:
        return int(str(ended.code))
