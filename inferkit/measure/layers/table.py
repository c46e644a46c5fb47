"""Layer tables read from JSON, several of one engine as one, and what their layers take together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from inferkit.backends.layer_table import LayerRow, LayerTable

_MOST_ROWS = 20_000


def table_from(rows: object) -> LayerTable:
    """A table from JSON. ValueError for what is none."""
    if not isinstance(rows, list) or len(rows) > _MOST_ROWS or not all(isinstance(row, Mapping) for row in rows):
        raise ValueError("a layer table is a list of objects")
    return tuple(LayerRow.from_dict(row) for row in rows)


def readable_table(rows: object) -> LayerTable:
    """A table from JSON, empty for anything that is none: for showing, where no verdict rests on it."""
    try:
        return table_from(rows)
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
