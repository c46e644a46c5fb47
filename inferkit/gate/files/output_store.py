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

from inferkit.gate.files.beside import path_beside, read_beside, write_beside
from inferkit.measure.latency.outputs import KeptOutputs

FOLDER = "outputs"


def outputs_path(baseline: str | os.PathLike[str]) -> Path:
    """Where the outputs of a baseline file lie."""
    return path_beside(baseline, FOLDER)


def read_outputs(baseline: str | os.PathLike[str]) -> dict[str, KeptOutputs]:
    """The outputs by case id; empty where there is no file. BaselineError where it is damaged or newer."""
    top = read_beside(outputs_path(baseline))
    if top is None:
        return {}
    outputs = {}
    for name, values in top.place("cases").values.items():
        try:
            outputs[name] = KeptOutputs.from_dict(values)
        except ValueError as error:
            raise top.fail(f"is damaged: {error}", f"cases/{name}") from error
    return outputs


def write_outputs(baseline: str | os.PathLike[str], outputs: Mapping[str, KeptOutputs | None]) -> Path | None:
    """Write the file whole or not at all; remove it where there is nothing to say. BaselineError where that fails."""
    kept = {name: _as_json(each) for name, each in outputs.items() if each is not None}
    return write_beside(outputs_path(baseline), kept)


def _as_json(kept: KeptOutputs) -> str:
    outputs = kept.as_dict()["outputs"]
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(output)}" for name, output in outputs.items())
    facts = f'"inputs": {json.dumps(kept.inputs)}, "precision": {json.dumps(kept.precision)}'
    return f'{{{facts}, "outputs": {{\n{lines}\n }}}}'
