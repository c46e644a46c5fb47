"""The entry `uint8_input` of the matrix: pixels go into the engine, which subtracts and scales.

uint8_input = true                                        # by the mean and scale of the network's preprocessing
uint8_input = { mean = [104, 117, 123], scale = 0.017 }   # which this states in its place
uint8_input = { mean = "mean.binaryproto" }               # or a mean image
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inferkit.data.opening import pixels_only
from inferkit.errors import InferkitError
from inferkit.suite.matrix.toml_table import Table

_KEY = "uint8_input"


def take_uint8_input(
    table: Table, folder: Path, default: bool, preprocessing: Mapping[str, Any]
) -> tuple[bool, dict[str, Any]]:
    """Whether engines are fed pixels, and the network's preprocessing with the mean and scale of the entry."""
    value = table.any(_KEY)
    if value is None:
        return default, dict(preprocessing)
    if isinstance(value, bool):
        return value, dict(preprocessing)
    if not isinstance(value, dict):
        table.note(f"must be true, false, or a table of mean and scale, not {value!r}", _KEY)
        return default, dict(preprocessing)
    if unknown := set(value) - {"mean", "scale"}:
        table.note(f"takes mean and scale, not {', '.join(sorted(unknown))}", _KEY)
    return True, {**pixels_only(preprocessing), **_normalization(table, folder, value)}


def _normalization(table: Table, folder: Path, value: Mapping[str, Any]) -> dict[str, Any]:
    """Preprocessing's fields for the entry; none where they are invalid, which is noted."""
    from inferkit.data import Preprocessing  # most matrices name no preprocessing, and collection must stay fast

    mean, fields = value.get("mean"), {name: value[name] for name in ("scale",) if name in value}
    if mean is not None and not isinstance(mean, str):
        fields["mean_values"] = mean if isinstance(mean, list) else [mean]
    try:
        Preprocessing(**fields)
    except (InferkitError, TypeError, ValueError) as error:
        table.note(f"is no mean and scale: {error}", _KEY)
        return {}
    return {**fields, "mean": str(folder / mean)} if isinstance(mean, str) else fields
