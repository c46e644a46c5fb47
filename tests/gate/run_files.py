"""Benchmark JSON files as `pytest bench` and as any pytest-benchmark project write them, made from plain figures."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.history.series import HistoryPoint, RunInfo
from inferkit.gate.metrics import METRICS
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.run import CaseRun, Origin, Run

MACHINE = Fingerprint.of({"cpu": "AMD EPYC 7B13", "cpus": 2, "backend": "onnxruntime", "version": "1.31.1"})
MACHINE_INFO = {
    "node": "host-17",
    "machine": "x86_64",
    "system": "Linux",
    "python_version": "3.11.7",
    "python_implementation": "CPython",
    "cpu": {"brand_raw": "AMD EPYC 7B13", "count": 2, "hz_actual": [2449998000, 0]},
}


def ours(
    cases: dict[str, list[float]],
    *,
    accuracy: dict[str, np.ndarray] | None = None,
    machine: Fingerprint = MACHINE,
    margin: float | None = 0.25,
    **more: Any,
) -> dict[str, Any]:
    """A file with seconds per replicate of each case, and which images were right of each accuracy case."""
    inferkit = {
        "schema": 1,
        "fingerprints": {machine.slug: machine.as_dict()},
        "declared": {machine.slug: list(cases)},
        "cases": {
            name: {
                "log_medians": [math.log(time) for time in times],
                "fingerprint": machine.slug,
                "margin": margin,
                "memory": 1 << 20,
                "build_seconds": [0.1] * len(times),
            }
            for name, times in cases.items()
        },
        "accuracy": {name: accuracy_of(right, machine) for name, right in (accuracy or {}).items()},
        "outcomes": [],
        **more,
    }
    return {
        **foreign({f"bench/test_latency.py::test_latency[{n}]": t[0] for n, t in cases.items()}),
        "inferkit": inferkit,
    }


def accuracy_of(right: np.ndarray, machine: Fingerprint = MACHINE) -> dict[str, Any]:
    """An accuracy case."""
    return {
        "images": len(right),
        "top1": 100 * float(right.mean()),
        "top5": 100.0,
        "dataset": "fashion_mnist",
        "fingerprint": machine.slug,
        "tolerance": 0.5,
        "top1_bits": base64.b64encode(np.packbits(right).tobytes()).decode(),
    }


def foreign(medians: dict[str, float], **info: Any) -> dict[str, Any]:
    """A file of any project: the median of each benchmark, by its full name."""
    return {
        "machine_info": {**MACHINE_INFO, **info},
        "commit_info": {"id": "0123abc", "dirty": False},
        "benchmarks": [{"fullname": name, "name": name, "stats": {"median": m}} for name, m in medians.items()],
        "datetime": "2026-11-22T10:00:00+00:00",
        "version": "5.3.1",
    }


def write(path: Path, content: dict[str, Any]) -> Path:
    """The file."""
    path.write_text(json.dumps(content))
    return path


def measured(name: str, log_medians: Iterable[float], **more: Any) -> CaseRun:
    """A case with these log-medians; `more` are other fields, or data by their keys in files."""
    data = {key: tuple(more.pop(key)) for key in list(more) if any(key == m.datum for m in METRICS.values())}
    logs = {"log_medians": tuple(log_medians)}
    data = {**(logs if logs["log_medians"] else {}), **data}
    return CaseRun(case=name, fingerprint=more.pop("fingerprint", MACHINE.slug), data=data, **more)


def stored(
    cases: dict[str, Sequence[float]], *, reference: Sequence[float] = (), version: str = "reference-1",
    machine: Fingerprint = MACHINE, origin: Origin | None = None,
) -> Run:  # fmt: skip
    """A baseline with these log-medians by case."""
    return Run(
        fingerprints={machine.slug: machine},
        cases={name: measured(name, logs, fingerprint=machine.slug) for name, logs in cases.items()},
        references={machine.slug: measured(version, reference, fingerprint=machine.slug)} if reference else {},
        origin=origin or Origin(),
    )


def point(
    info: RunInfo, case: str, metric: str, values: Sequence[float], verdict: str = "PASS", margin: float | None = None
) -> HistoryPoint:
    """A point of the history: seconds of each replicate, and what the run judged the case as."""
    run = measured(case, [math.log(value) for value in values], fingerprint="m", margin=margin)
    return HistoryPoint(info, metric, run, Outcome(case, metric, Verdict(verdict), margin=margin))
