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

from inferkit.errors import BaselineError
from inferkit.files import write_atomically
from inferkit.gate.files.checked_json import read_json
from inferkit.measure.layers.table import LayerTable, table_from

SCHEMA = 1
FOLDER = "layers"


def layers_path(baseline: str | os.PathLike[str]) -> Path:
    """Where the layer tables of a baseline file lie."""
    path = Path(baseline)
    return path.parent / FOLDER / path.name


def read_layers(baseline: str | os.PathLike[str]) -> dict[str, LayerTable]:
    """The tables by case id; empty where there is no file. BaselineError where it is damaged or newer."""
    path = layers_path(baseline)
    if not path.exists():
        return {}
    top = read_json(path)
    top.schema(SCHEMA)
    cases = top.place("cases").values
    try:
        return {name: table_from(rows) for name, rows in cases.items()}
    except ValueError as error:
        raise top.fail(f"is damaged: {error}", "cases") from error


def write_layers(baseline: str | os.PathLike[str], tables: Mapping[str, LayerTable]) -> Path | None:
    """Write the file whole or not at all; remove it where there is nothing to say. BaselineError where that fails."""
    path = layers_path(baseline)
    timed = {name: table for name, table in sorted(tables.items()) if table}
    try:
        if not timed:
            path.unlink(missing_ok=True)
            return None
        write_atomically(path, _as_bytes(timed))
    except OSError as error:
        raise BaselineError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _as_bytes(tables: Mapping[str, LayerTable]) -> bytes:
    cases = []
    for name, table in tables.items():
        rows = ",\n".join("  " + json.dumps(row.as_dict(), ensure_ascii=False) for row in table)
        cases.append(f" {json.dumps(name)}: [\n{rows}\n ]")
    text = f'{{"schema": {SCHEMA}, "cases": {{\n' + ",\n".join(cases) + "\n}}\n"
    return text.encode()
