"""What a report shows of the images that changed their class: checked, with the names of the classes filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferkit.report.facts import mapping, mappings, number, text

# Nothing but such a PNG may reach a page: the file that it comes from may be anyone's.
_PNG = re.compile(r"data:image/png;base64,[A-Za-z0-9+/]{1,60000}={0,2}")


@dataclass(frozen=True)
class Pair:
    """So many images of the class `label` are taken for `base` by base and for `head` by head."""

    label: str
    base: str
    head: str
    count: int


@dataclass(frozen=True)
class Picture:
    """One image that changed; `png` is a data URI for an img element, None where there is no picture."""

    key: str
    label: str
    base: str
    head: str
    png: str | None


@dataclass(frozen=True)
class Confusion:
    """`changed` of `images` images got another class: `lost` are right in base only, `gained` in head only."""

    images: int
    changed: int
    lost: int
    gained: int
    pairs: tuple[Pair, ...]
    pictures: tuple[Picture, ...]


def confusion_of(facts: Mapping[str, Any]) -> Confusion | None:
    """The confusion in the facts of an accuracy case (CaseView.facts, or a run's accuracy record): its key `confusion`.

    This is the one function that the HTML report calls. None where there is none (FP32, or an older file). Texts are
    plain and must be escaped, as autoescaping does. A `png` matches `data:image/png;base64,...` and nothing else, so
    it may stand in `src="..."`; the page's Content-Security-Policy needs `img-src data:`.
    """
    told = mapping(facts, "confusion")
    if not told:
        return None
    names = mapping(told, "classes")
    return Confusion(
        _count(told, "images_seen"),
        _count(told, "changed"),
        _count(told, "lost"),
        _count(told, "gained"),
        tuple(Pair(*_classes(pair, names), _count(pair, "count")) for pair in mappings(told, "pairs")),
        tuple(
            Picture(text(each, "key") or str(_count(each, "index")), *_classes(each, names), _png(each))
            for each in mappings(told, "images")
        ),
    )


def _count(values: Mapping[str, Any], key: str) -> int:
    return int(number(values, key) or 0)


def _classes(values: Mapping[str, Any], names: Mapping[str, Any]) -> tuple[str, str, str]:
    sides = ("base", "head") if "base" in values else ("before", "now")  # as 0.1.0 called them
    label, base, head = (_name(number(values, key), names) for key in ("label", *sides))
    return label, base, head


def _name(value: float | None, names: Mapping[str, Any]) -> str:
    if value is None or value < 0:
        return "no class"
    return text(names, str(int(value))) or str(int(value))


def _png(values: Mapping[str, Any]) -> str | None:
    found = text(values, "png")
    return found if found is not None and _PNG.fullmatch(found) else None
