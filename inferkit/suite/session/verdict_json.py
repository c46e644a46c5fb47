"""`--verdict-json`: what every case was judged as, for machines; whole or not at all."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from inferkit.files import write_atomically
from inferkit.suite.session.options import option
from inferkit.suite.session.run_json import run_record
from inferkit.suite.session.state import Suite
from inferkit.version import __version__

SCHEMA = 1


def write_verdicts(suite: Suite, code: int, interrupted: bool, failed: int) -> int:
    """Write the file that was asked for, if one was; returns the run's exit code (`failed` where it cannot be written).

    An interrupted run writes nothing, nor does one that measured nothing.
    """
    from inferkit.suite.session.run import not_to_write

    path = option(suite.config, "verdict-json")
    if path is None:
        return code
    if reason := not_to_write(suite, interrupted):
        suite.notes.append(f"{path} is not written: {reason}")
        return code
    content = json.dumps(_verdicts(suite, code), indent=1, allow_nan=False).encode() + b"\n"
    try:
        write_atomically(Path(path), content)
    except OSError as error:
        suite.notes.append(f"ERROR: {path} could not be written: {error.strerror or error}")
        return code or failed
    suite.notes.append(f"written: {path}")
    return code


def _verdicts(suite: Suite, code: int) -> dict[str, Any]:
    """One entry per test in the order they ran, and the outcome of every metric that was judged."""
    from inferkit.suite.session.run import finite, results_of

    results = results_of(suite.config)
    record = run_record(suite)
    content: dict[str, Any] = finite(
        {
            "schema": SCHEMA,
            "version": __version__,
            "exit_code": code,
            "counts": dict(Counter(result["verdict"] for result in results.values())),
            "tests": [
                {"test": test, "case": result["row"].get("case"), "verdict": result["verdict"], "line": result["line"]}
                for test, result in results.items()
            ],
            "outcomes": record["outcomes"],
            "ratchet": [outcome.as_dict() for outcome in suite.ratchet],
            "layers": {name: case["why"] for name, case in record["cases"].items() if "why" in case},
        }
    )
    return content
