"""Reading figures that a report shows but no verdict rests on: what is not what it should be is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferkit.gate.run import Run


def number(values: Mapping[str, Any], key: str) -> float | None:
    """A finite number, None where there is none."""
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e300 < value < 1e300:
        return None
    return float(value)


def numbers(values: Mapping[str, Any], key: str) -> list[float]:
    """A list of finite numbers, without whatever else is in it."""
    value = values.get(key)
    found = [number({key: item}, key) for item in value] if isinstance(value, list) else []
    return [item for item in found if item is not None]


def text(values: Mapping[str, Any], key: str) -> str | None:
    """A text, None where there is none."""
    value = values.get(key)
    return value if isinstance(value, str) and value else None


def mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object, empty where there is none."""
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def mappings(values: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """A list of objects, without whatever else is in it."""
    value = values.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def in_rounds(facts: Mapping[str, Any]) -> bool:
    """Whether a sample is the mean of a round of batches that overlap (throughput mode), not one batch."""
    return facts.get("mode") == "throughput"


def shown(value: object) -> str:
    """A value of any kind in few characters."""
    if value is None:
        return "not known"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "not known"
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value) or "none"
    return str(value)


def unit_of(facts: Mapping[str, Any]) -> str:
    """What the throughput of a case counts: images (all that earlier versions had a word for), items, queries."""
    return text(facts, "unit") or "images"


def rate(value: float) -> str:
    """A throughput in few characters, without its unit."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def accuracy_facts(run: Run) -> dict[str, Mapping[str, Any]]:
    """What a run tells of each of its accuracy cases, beyond what verdicts rest on."""
    told = mapping(run.record, "accuracy")
    return {name: mapping(told, name) for name in run.accuracy}
