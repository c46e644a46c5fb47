"""Jobs for an inferkit from before the package was divided: its process has another name, and an engine lies flat.

A suspect is confirmed by measuring the commit that its baseline came from, and baselines of such commits are kept.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from functools import cache
from typing import Any

from inferkit.measure.jobs.interpreter import Interpreter, this_interpreter

_PROCESS = "inferkit.measure.process"
# What a job said of its engine by another name than EngineSpec.
_NAMES = {"max_batch": "batch_size", "file": "engine"}


def is_older(by: Interpreter) -> bool:
    """Whether the inferkit that `by` runs is that old; one that cannot be asked is not, and its job says why."""
    this = this_interpreter()
    return (by.python, by.home) != (this.python, this.home) and _lacks_the_process(by.python, by.home)


def older_job(spec: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The module that takes such a job (latency, accuracy, prepare, build), and the job as it takes it."""
    engine = spec.get("engine")
    if engine is None or "folder" in spec:  # preparing and building are stated as they were
        return _PROCESS, dict(spec)
    flat = {key: value for key, value in spec.items() if key != "engine"}
    return _PROCESS, flat | {_NAMES.get(key, key): value for key, value in engine.items()}


@cache
def _lacks_the_process(python: str, home: str | None) -> bool:
    code = "from importlib.util import find_spec; print(find_spec('inferkit.measure.jobs') is None)"
    try:
        done = subprocess.run(
            [python, "-P", "-c", code], env=Interpreter(python, home).variables(), capture_output=True, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == b"True"
