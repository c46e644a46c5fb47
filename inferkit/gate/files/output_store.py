"""What a baseline's cases computed, in a file beside it: `baselines/outputs/<fingerprint-slug>.json`.

Beside it, so that the baseline itself stays as small as a review needs. One output a line.

{"schema": 1,
 "cases": {"lenet-fp32-b1-onnxruntime": {"inputs": "60303a…", "precision": "fp32", "outputs": {
  "prob": {"shape": [1, 10], "type": "float32", "sha256": "9f86d0…", "sample": "AACAPw…"}}}}}
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from inferkit.errors import BaselineError
from inferkit.files import write_atomically
from inferkit.gate.files.checked_json import read_json
from inferkit.measure.latency.outputs import KeptOutputs

SCHEMA = 1
FOLDER = "outputs"


def outputs_path(baseline: str | os.PathLike[str]) -> Path:
    """Where the outputs of a baseline file lie."""
    path = Path(baseline)
    return path.parent / FOLDER / path.name


def read_outputs(baseline: str | os.PathLike[str]) -> dict[str, KeptOutputs]:
    """The outputs by case id; empty where there is no file. BaselineError where it is damaged or newer."""
    path = outputs_path(baseline)
    if not path.exists():
        return {}
    top = read_json(path)
    top.schema(SCHEMA)
    outputs = {}
    for name, values in top.place("cases").values.items():
        try:
            outputs[name] = KeptOutputs.from_dict(values)
        except ValueError as error:
            raise top.fail(f"is damaged: {error}", f"cases/{name}") from error
    return outputs


def write_outputs(baseline: str | os.PathLike[str], outputs: Mapping[str, KeptOutputs | None]) -> Path | None:
    """Write the file whole or not at all; remove it where there is nothing to say. BaselineError where that fails."""
    path = outputs_path(baseline)
    kept = {name: each for name, each in sorted(outputs.items()) if each is not None}
    try:
        if not kept:
            path.unlink(missing_ok=True)
            return None
        write_atomically(path, _as_bytes(kept))
    except OSError as error:
        raise BaselineError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _as_bytes(outputs: Mapping[str, KeptOutputs]) -> bytes:
    cases = []
    for name, kept in outputs.items():
        values = kept.as_dict()
        lines = ",\n".join(f"  {json.dumps(each)}: {json.dumps(output)}" for each, output in values["outputs"].items())
        facts = f'"inputs": {json.dumps(kept.inputs)}, "precision": {json.dumps(kept.precision)}'
        cases.append(f' {json.dumps(name)}: {{{facts}, "outputs": {{\n{lines}\n }}}}')
    return (f'{{"schema": {SCHEMA}, "cases": {{\n' + ",\n".join(cases) + "\n}}\n").encode()
