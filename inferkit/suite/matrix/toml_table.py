"""Strict reading of a TOML file: each value is asked for by name and type, and errors name file, line and key."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from inferkit.errors import UsageError

_WORDS = {str: "a string", bool: "true or false", int: "a whole number", float: "a number", dict: "a table",
          date: "a date such as 2026-12-31"}  # fmt: skip


def read_toml(path: Path) -> Table:
    """The file's top table. UsageError when it cannot be read or is not TOML (with line and column)."""
    try:
        text = path.read_text(encoding="utf-8")
        return Table(tomllib.loads(text), path, text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text: {error}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: is not valid TOML: {error}") from error


class Table:
    """A table of the file that remembers where it stands. Values are taken out; what is left over is an error.

    A value that does not fit is noted in `problems`, which all tables of a file share, and the default is used on.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        path: Path,
        text: str,
        header: str = "",
        index: int = 0,
        line: int = 1,
        problems: list[str] | None = None,
    ) -> None:
        self._values = dict(values)
        self.allowed: list[str] = []
        self.refused: list[str] = []  # keys whose value is of another type than was asked for
        self.problems: list[str] = [] if problems is None else problems
        self._place = (path, text, header, index)
        self._line = line  # of the table itself, where it has no header of its own (an inline table)

    def fail(self, message: str, key: str | None = None) -> UsageError:
        """The error to raise: file, line of the key (or of the table), table, message."""
        return UsageError(f"{self.where(key)} {message}")

    def note(self, message: str, key: str | None = None) -> None:
        """Remember the same as a problem, and go on to find more."""
        self.problems.append(str(self.fail(message, key)))

    def where(self, key: str | None = None) -> str:
        """`matrix.toml:12: [networks] model:`, or without the key."""
        path, text, header, index = self._place
        line = line_of(text, header, index, key) or self._line
        table = f" [{header}]" if header else ""
        name = f" {key}:" if key else ""
        return f"{path}:{line}:{table}{name}"

    def names(self) -> list[str]:
        """The keys not yet taken, in the order of the file."""
        return list(self._values)

    def take(self, key: str, kind: type, default: Any = None) -> Any:
        """The value of `key`, which must be a `kind` (an int serves as a float), or the default where it is absent."""
        self.allowed.append(key)
        if key not in self._values:
            return default
        value = self._values.pop(key)
        if kind is float and type(value) is int:
            with suppress(OverflowError):  # an integer of hundreds of digits is refused below
                value = float(value)
        if type(value) is not kind:
            self.note(f"must be {_WORDS[kind]}, not {value!r}", key)
            self.refused.append(key)
            return default
        return value

    def any(self, key: str) -> Any:
        """The value of `key`, whatever it is; None where it is absent."""
        self.allowed.append(key)
        return self._values.pop(key, None)

    def number(self, key: str, default: Any, *, above: float, most: float, kind: type = float) -> Any:
        """A number with above < value <= most, or the default where it is absent."""
        value = self.take(key, kind, default)
        if value is not None and value is not default and not above < value <= most:
            self.note(f"must be above {above:g} and at most {most:g}, not {value!r}", key)
            return default
        return value

    def list_of(self, key: str, kind: type, default: tuple[Any, ...]) -> tuple[Any, ...]:
        """A list of one type without repetitions (a single value stands for a list of it), or the default."""
        self.allowed.append(key)
        if key not in self._values:
            return default
        value = self._values.pop(key)
        values = value if isinstance(value, list) else [value]
        wrong = [item for item in values if type(item) is not kind]
        if wrong or not values:
            self.note(f"must be a list of {_WORDS[kind].split(' ', 1)[1]}s, not {value!r}", key)
            return default
        if len(set(values)) != len(values):
            self.note(f"names something twice: {value!r}", key)
        return tuple(dict.fromkeys(values))

    def choices(self, key: str, allowed: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
        """A list of words that are all allowed, or the default."""
        values: tuple[str, ...] = self.list_of(key, str, default)
        for value in values:
            if value not in allowed:
                self.note(f"{value!r} is not supported{nearest(value, allowed)}", key)
        return tuple(value for value in values if value in allowed) or default

    def tables(self, key: str) -> list[Table]:
        """The tables of an array `[[key]]`; none where it is absent."""
        self.allowed.append(key)
        value = self._values.pop(key, [])
        if not isinstance(value, list) or any(not isinstance(item, dict) for item in value):
            self.note(f"must be written as [[{key}]] tables", key)
            return []
        path, text, _, _ = self._place
        return [Table(item, path, text, key, index, problems=self.problems) for index, item in enumerate(value)]

    def table(self, key: str) -> Table:
        """The table `[key]` inside this one; empty where it is absent."""
        path, text, header, index = self._place
        full = f"{header}.{key}" if header else key
        line = line_of(text, header, index, key) or self._line
        return Table(self.take(key, dict, {}), path, text, full, line=line, problems=self.problems)

    def rest(self) -> dict[str, Any]:
        """Everything not yet taken."""
        taken, self._values = self._values, {}
        return taken

    def finish(self) -> None:
        """Keys that nobody asked for are problems, told with the nearest that exists."""
        for key in self._values:
            self.note(f"is not known here{nearest(key, self.allowed)}", key)


def nearest(word: str, allowed: Iterable[str]) -> str:
    """ "; did you mean 'x'?" where something is close, else the list of what there is."""
    names = list(allowed)
    close = difflib.get_close_matches(word, names, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(names)}"


def line_of(text: str, header: str, index: int, key: str | None) -> int | None:
    """The line (from 1) of a key in the `index`-th table of this header; the header's line where the key is not found.

    None where there is no such header. tomllib keeps no positions, so this reads the lines again. It only serves
    messages: what it cannot follow (inline tables, quoted dots) is reported at the table's own line.
    """
    lines = text.splitlines()
    start = 0
    if header:
        pattern = re.compile(r"\s*\[\[?\s*" + r"\s*\.\s*".join(map(_quoted, header.split("."))) + r"\s*\]\]?")
        headers = [number for number, line in enumerate(lines) if pattern.match(line)]
        if index >= len(headers):
            return None
        start = headers[index] + 1
    if key is not None:
        wanted = re.compile(rf"\s*(?:\[\[?\s*)?{_quoted(key)}\s*[=.\]]")
        for number in range(start, len(lines)):
            if wanted.match(lines[number]):
                return number + 1
            if header and re.match(r"\s*\[", lines[number]):
                break
    return max(start, 1)


def _quoted(word: str) -> str:
    return rf"""["']?{re.escape(word)}["']?"""
