"""The layer table of an engine: one row per layer that really ran, with the network's layers that it computes.

Stored with a run and beside a baseline, so that a changed latency can be put down to layers (gate/layer_diff.py).
What fills it: ONNX Runtime's profile (onnx_layers.py), TensorRT's inspector and IProfiler (engine_layers.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

_TEXTS = ("kind", "precision", "kernel", "format")
_MOST_ROWS = 20_000


@dataclass(frozen=True)
class LayerRow:
    """One layer as it ran. `seconds` per batch, None where it was not timed; texts are empty where not known.

    `origins` are the names of the network's layers that it computes: a fusion has several, a copy that the backend
    added has none. `kernel` is TensorRT's tactic, or ONNX Runtime's operator.
    """

    name: str
    kind: str = ""
    precision: str = ""
    kernel: str = ""
    format: str = ""
    seconds: float | None = None
    origins: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON, sparse: nothing that is empty; `us` are microseconds to four digits, `of` the origins."""
        told: dict[str, Any] = {"name": self.name}
        told |= {key: getattr(self, key) for key in _TEXTS if getattr(self, key)}
        if self.seconds is not None:
            told["us"] = float(f"{self.seconds * 1e6:.4g}")
        if self.origins != (self.name,):
            told["of"] = list(self.origins)
        return told

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> LayerRow:
        """The inverse of `as_dict`. ValueError for what is none."""
        name, micros, origins = told.get("name"), told.get("us"), told.get("of", [told.get("name")])
        texts = {key: told.get(key, "") for key in _TEXTS}
        if not all(isinstance(text, str) for text in (name, *texts.values())):
            raise ValueError(f"a layer's texts are no texts: {dict(told)!r}")
        if not isinstance(origins, list) or not all(isinstance(text, str) for text in origins):
            raise ValueError(f"the layers that {name!r} computes are no list of names")
        if micros is not None and (
            isinstance(micros, bool) or not isinstance(micros, (int, float)) or not 0 <= micros < 1e12
        ):
            raise ValueError(f"the time of {name!r} is {micros!r}")
        return cls(str(name), **texts, seconds=None if micros is None else micros / 1e6, origins=tuple(origins))


LayerTable = tuple[LayerRow, ...]


def table_from(told: object) -> LayerTable:
    """A table from JSON. ValueError for what is none."""
    if not isinstance(told, list) or len(told) > _MOST_ROWS or not all(isinstance(row, Mapping) for row in told):
        raise ValueError("a layer table is a list of objects")
    return tuple(LayerRow.from_dict(row) for row in told)


def readable_table(told: object) -> LayerTable:
    """A table from JSON, empty for anything that is none: for showing, where no verdict rests on it."""
    try:
        return table_from(told)
    except ValueError:
        return ()


def total_seconds(rows: Iterable[LayerRow]) -> float | None:
    """All layers together; None where none was timed."""
    times = [row.seconds for row in rows if row.seconds is not None]
    return math.fsum(times) if times else None


def median_table(tables: Sequence[LayerTable]) -> LayerTable:
    """One table of several profiles of the same engine: the median time of each layer.

    Profiles of other layers than the first one's (another engine) are left out.
    """
    if not tables:
        return ()
    first = tables[0]
    same = [table for table in tables if [row.name for row in table] == [row.name for row in first]]
    rows = []
    for position, row in enumerate(first):
        times = [time for table in same if (time := table[position].seconds) is not None]
        rows.append(replace(row, seconds=median(times) if times else None))
    return tuple(rows)
