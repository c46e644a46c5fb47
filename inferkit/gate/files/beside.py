"""A file beside a baseline, `baselines/FOLDER/<fingerprint-slug>.json`: what its cases have that no review reads.

It keeps the baseline itself as small as a review needs. {"schema": 1, "cases": {"lenet-fp32-b1-onnxruntime": …}}
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from inferkit.errors import BaselineError
from inferkit.files import write_atomically
from inferkit.gate.files.checked_json import Place, read_json

SCHEMA = 1


def path_beside(baseline: str | os.PathLike[str], folder: str) -> Path:
    """Where the file of this folder lies."""
    path = Path(baseline)
    return path.parent / folder / path.name


def read_beside(path: Path) -> Place | None:
    """The file, checked as far as its schema; None where there is none. BaselineError where it is damaged or newer."""
    if not path.exists():
        return None
    top = read_json(path)
    top.schema(SCHEMA)
    return top


def write_beside(path: Path, cases: Mapping[str, str]) -> Path | None:
    """Write the file whole or not at all, of each case's JSON; remove it where there is none.

    BaselineError where that fails.
    """
    lines = ",\n".join(f" {json.dumps(name)}: {text}" for name, text in sorted(cases.items()))
    try:
        if not cases:
            path.unlink(missing_ok=True)
            return None
        write_atomically(path, f'{{"schema": {SCHEMA}, "cases": {{\n{lines}\n}}}}\n'.encode())
    except OSError as error:
        raise BaselineError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path
