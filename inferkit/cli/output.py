"""What a command prints as JSON, alone on stdout so that a program can read it, and files that it writes."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.report.table import Column

STDOUT = "-"


def add_json(parser: argparse.ArgumentParser, what: str = "print JSON") -> None:
    """`--json`: see `print_json`."""
    parser.add_argument("--json", action="store_true", help=what)


def add_json_or_file(parser: argparse.ArgumentParser) -> None:
    """`--json [FILE]`, of commands that measure for long: see `json_output`."""
    parser.add_argument(
        "--json", nargs="?", const=STDOUT, metavar="FILE", help="print JSON instead of text, or also write it to FILE"
    )


def print_json(content: Any) -> None:
    """Print as every command does."""
    print(json.dumps(content, indent=1, default=str))


def print_table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table as wide as the terminal."""
    from inferkit.report.table import stdout_look, table_lines

    for line in table_lines(columns, rows, *stdout_look()):
        print(line)


@contextlib.contextmanager
def json_output(where: str | Path | None) -> Iterator[Callable[[Any], None]]:
    """A function that takes the content, as often as it grows: it goes to the file `where`, whole every time.

    Where that is "-", what the block prints goes to stderr, and the last content to stdout at its end; where it is
    None nothing is done. UsageError where the file cannot be written.
    """
    if where is None:
        yield lambda content: None
        return
    if str(where) != STDOUT:
        yield lambda content: write_output(where, (json.dumps(content, indent=1) + "\n").encode())
        return
    last: list[Any] = []
    with contextlib.redirect_stdout(sys.stderr):
        yield lambda content: last.__setitem__(slice(None), [content])
    if last:
        print_json(last[0])


def write_output(path: str | Path, content: bytes) -> None:
    """Write a file that the user asked for, whole or not at all. UsageError where it cannot be written."""
    from inferkit.files import write_atomically

    try:
        write_atomically(path, content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
