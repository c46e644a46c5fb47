"""What a command prints as JSON: that alone on stdout, so that a program can read it; words for people go elsewhere."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from inferkit.errors import UsageError

STDOUT = "-"


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`: see `print_json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_json_or_file(parser: argparse.ArgumentParser) -> None:
    """`--json [FILE]`, of commands that measure for long: see `json_output`."""
    parser.add_argument(
        "--json",
        nargs="?",
        const=STDOUT,
        metavar="FILE",
        help="print JSON instead of text, or write it to FILE beside the text",
    )


def print_json(content: Any) -> None:
    """Print as the other commands do."""
    print(json.dumps(content, indent=1))


@contextlib.contextmanager
def json_output(where: str | Path | None) -> Iterator[Callable[[Any], None]]:
    """A function that takes the content, as often as it grows: it goes to the file `where`, whole every time.

    Where that is "-", what the block prints goes to stderr, and the last content to stdout at its end; where it is
    None nothing is done. UsageError where the file cannot be written.
    """
    if where is None or str(where) != STDOUT:
        yield lambda content: _write(where, content)
        return
    last: list[Any] = []
    with contextlib.redirect_stdout(sys.stderr):
        yield lambda content: last.__setitem__(slice(None), [content])
    if last:
        print_json(last[0])


def _write(where: str | Path | None, content: Any) -> None:
    from inferkit.files import write_atomically

    if where is None:
        return
    try:
        write_atomically(where, (json.dumps(content, indent=1) + "\n").encode())
    except OSError as error:
        raise UsageError(f"{where} cannot be written: {error.strerror or error}") from error
