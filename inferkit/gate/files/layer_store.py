"""The layer tables of a baseline's cases, in a file beside it: `baselines/layers/<fingerprint-slug>.json`.

Beside it, so that the baseline itself stays as small as a review needs. No verdict rests on this file: without it, or
with a damaged one, the gate judges the same and only cannot say which layers changed. One layer a line.

{"schema": 1,
 "cases": {"lenet-fp32-b1-onnxruntime": [
 {"name": "conv1", "kind": "Conv", "precision": "fp32", "kernel": "Conv (nchwc)", "us": 41.2}, …]}}
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from inferkit.gate.files.beside import path_beside, read_beside, write_beside
from inferkit.measure.layers.table import LayerTable, table_from

FOLDER = "layers"


def layers_path(baseline: str | os.PathLike[str]) -> Path:
    """Where the layer tables of a baseline file lie."""
    return path_beside(baseline, FOLDER)


def read_layers(baseline: str | os.PathLike[str]) -> dict[str, LayerTable]:
    """The tables by case id; empty where there is no file. BaselineError where it is damaged or newer."""
    top = read_beside(layers_path(baseline))
    if top is None:
        return {}
    cases = top.place("cases").values
    try:
        return {name: table_from(rows) for name, rows in cases.items()}
    except ValueError as error:
        raise top.fail(f"is damaged: {error}", "cases") from error


def write_layers(baseline: str | os.PathLike[str], tables: Mapping[str, LayerTable]) -> Path | None:
    """Write the file whole or not at all; remove it where there is nothing to say. BaselineError where that fails."""
    return write_beside(layers_path(baseline), {name: _as_json(table) for name, table in tables.items() if table})


def _as_json(table: LayerTable) -> str:
    rows = ",\n".join("  " + json.dumps(row.as_dict(), ensure_ascii=False) for row in table)
    return f"[\n{rows}\n ]"
