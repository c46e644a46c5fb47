"""Reading JSON that people keep and may have edited: refused with file, place and reason, never guessed at."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from inferkit.errors import BaselineError
from inferkit.files import decoded

# A benchmark of 10,000 cases with all its times is some 500 MB; more is not one of ours.
_MOST_BYTES = 1 << 30


def read_json(path: str | os.PathLike[str], *, nan: bool = False, one_by_one: str = "") -> Place:
    """The file's top object. BaselineError where it cannot be read, is not JSON, or holds a key twice.

    NaN and infinity are refused too, unless `nan`: then who asks for a number refuses them, with the place. For
    `one_by_one` see `parse_json`.
    """
    name = str(path)
    try:
        size = Path(path).stat().st_size
        if size > _MOST_BYTES:
            raise BaselineError(f"{name}: {size >> 20} MB is more than a benchmark file has")
        content = Path(path).read_bytes()
    except OSError as error:
        raise BaselineError(f"{name}: cannot be read: {error.strerror or error}") from error
    return parse_json(content, name, nan=nan, one_by_one=one_by_one)


def kind_of(path: str | os.PathLike[str]) -> object:
    """What a JSON file says of itself under `kind`, None where it says nothing. BaselineError where it is no JSON."""
    return read_json(path, nan=True, one_by_one="benchmarks").values.get("kind")


def parse_json(content: bytes, name: str, *, nan: bool = False, one_by_one: str = "") -> Place:
    """The same for content that is no file (yet); `name` stands in the messages. A byte order mark is passed over.

    `one_by_one` is the key of a list in the top object of which one item may be damaged: it becomes a Damaged.
    """
    try:
        text = decoded(content)
    except ValueError as error:
        raise BaselineError(f"{name}: is damaged: {error}") from error
    try:
        value = _parsed(text, nan)
    except (ValueError, RecursionError) as error:
        value = _parsed_one_by_one(text, nan, one_by_one) if one_by_one else None
        if value is None:
            raise BaselineError(f"{name}: is damaged: {error}") from error
    if not isinstance(value, dict):
        raise BaselineError(f"{name}: is damaged: it holds no JSON object")
    return Place(value, name)


@dataclass(frozen=True)
class Damaged:
    """An item of a list that JSON allows and that is refused, or that is none: why, and the name that stands in it."""

    reason: str
    name: str


def _parsed(text: str, nan: bool) -> Any:
    return json.loads(text, parse_constant=float if nan else _no_constant, object_pairs_hook=_no_repetition)


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)
_FULL_NAME = re.compile(r'"fullname"\s*:\s*("(?:[^"\\]|\\.)*")', re.DOTALL)


def _parsed_one_by_one(text: str, nan: bool, key: str) -> Any:
    """The top object, each item of its list `key` parsed by itself; None where the rest is damaged too."""
    spans = _items(text, key)
    if not spans:
        return None
    try:
        value = _parsed(text[: spans[0][0]] + text[spans[-1][1] :], nan)
    except (ValueError, RecursionError):
        return None
    value[key] = [_item(text[begin:end], nan) for begin, end in spans]
    return value


def _items(text: str, key: str) -> list[tuple[int, int]]:
    """Begin and end of each item of the list `key` in the top object, without looking into them."""
    depth, last, begin = 0, "", 0
    inside = False
    spans: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(text):
        word = token.group()
        if word in "[{":
            depth += 1
            if word == "[" and depth == 2 and not spans and last == f'"{key}"':
                inside, begin = True, token.end()
        elif word in "]},":
            if inside and depth == 2:
                spans.append((begin, token.start()))
                begin, inside = token.end(), word == ","
            depth -= word != ","
        elif depth == 1:
            last = word
    return [] if inside else spans


def _item(text: str, nan: bool) -> Any:
    try:
        return _parsed(text, nan)
    except (ValueError, RecursionError) as error:
        named = _FULL_NAME.search(text)
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        return Damaged(reason.partition(";")[0], "" if named is None else str(json.loads(named.group(1), strict=False)))


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _no_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice!r} stands there twice")
    return values


class Place:
    """An object in a JSON file that knows where it stands. What is asked for is checked; errors name file and place."""

    def __init__(self, values: dict[str, Any], file: str, where: str = "") -> None:
        self.values = values
        self.file = file
        self._where = where

    def fail(self, message: str, key: str = "") -> BaselineError:
        """The error to raise."""
        place = "/".join(part for part in (self._where, key) if part)
        return BaselineError(f"{self.file}: {place + ': ' if place else ''}{message}")

    def only(self, known: Iterable[str]) -> None:
        """Refuse keys that are not known: a mistyped key would be a value silently ignored."""
        unknown = sorted(set(self.values) - set(known))
        if unknown:
            raise self.fail(f"is not known here; there are {', '.join(known)}", unknown[0])

    def finite(self) -> None:
        """Refuse NaN and infinity at any depth."""
        waiting: list[tuple[str, object]] = [("", self.values)]
        while waiting:
            where, value = waiting.pop()
            if isinstance(value, float) and not math.isfinite(value):
                raise self.fail(f"{value!r} is not a number", where)
            pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
            waiting += [(f"{where}/{key}".removeprefix("/"), inner) for key, inner in pairs]

    def text(self, key: str) -> str:
        """A string, which must be there."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self.fail(f"must be text, not {value!r}", key)
        return value

    def optional_text(self, key: str) -> str | None:
        """Like `text`, or None where it is absent."""
        return self.text(key) if key in self.values else None

    def texts(self) -> dict[str, str]:
        """Every value, all of which must be strings."""
        return {key: self.text(key) for key in self.values}

    def schema(self, newest: int, otherwise: str = "is damaged") -> int:
        """The schema of the file, from 1; `otherwise` is what it is without one. BaselineError above `newest` too."""
        schema = self.values.get("schema")
        if type(schema) is not int or schema < 1:
            raise self.fail(f"{otherwise}: its schema is {schema!r}", "schema")
        if schema > newest:
            raise self.fail(
                f"was written by a newer inferkit (schema {schema}); this one reads up to {newest}", "schema"
            )
        return schema

    def number(self, key: str, *, above: float = -math.inf, most: float = math.inf) -> float:
        """A finite number with above < value <= most, which must be there."""
        return self._checked(self.values.get(key), key, above, most)

    def optional(self, key: str, *, above: float = -math.inf, most: float = math.inf) -> float | None:
        """Like `number`, or None where it is absent or null."""
        return None if self.values.get(key) is None else self.number(key, above=above, most=most)

    def numbers(self, key: str, *, above: float = -math.inf, most: float = math.inf) -> tuple[float, ...]:
        """A list of such numbers; empty where it is absent."""
        value = self.values.get(key, [])
        if not isinstance(value, list):
            raise self.fail(f"must be a list of numbers, not {value!r}", key)
        return tuple(self._checked(item, f"{key}/{index}", above, most) for index, item in enumerate(value))

    def place(self, key: str) -> Place:
        """The object under `key`; empty where it is absent."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.fail(f"must be an object, not {value!r}", key)
        return Place(value, self.file, f"{self._where}/{key}" if self._where else key)

    def places(self) -> dict[str, Place]:
        """Every object in this one."""
        return {key: self.place(key) for key in self.values}

    def _checked(self, value: object, key: str, above: float, most: float) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e300 < value < 1e300:
            raise self.fail(f"must be a number, not {value!r}", key)
        if not above < value <= most:
            raise self.fail(f"{value!r} cannot be: it must be above {above:g} and at most {most:g}", key)
        return value
