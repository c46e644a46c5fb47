"""Kept measurements as plain figures: recorded latencies, runs of the suite, and suites that the self-test logged."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.gate.power import SuiteData
from tools import ROOT

RECORDINGS = ROOT / "tests" / "gate" / "recordings"
WARM_UP = 0.1  # share of a process's iterations at its start that are left out

Recording = list[NDArray[np.float64]]
Suites = dict[str, dict[str, NDArray[np.float64]]]


def read_recordings() -> dict[str, Recording]:
    """Every recorded case: name (file: network batch, launch) -> latencies in ms, one array per process."""
    cases: dict[str, Recording] = {}
    for path in sorted(RECORDINGS.glob("*.json.gz")):
        with gzip.open(path, "rt") as source:
            content = json.load(source)
        networks = {"vgg16": content} if "run1" in content else content
        for network, runs in networks.items():
            for batches in runs.values():
                for batch, series in batches.items():
                    for key, values in series.items():
                        if not key.endswith("wall_ms"):
                            continue
                        launch = key.removesuffix("wall_ms").strip("_").rstrip("2") or "enqueue"
                        name = f"{path.name.removesuffix('.json.gz')}: {network} batch {batch}, {launch}"
                        array = np.asarray(values, float)
                        cases.setdefault(name, []).append(array[int(WARM_UP * len(array)) :])
    return cases


def medians(case: Recording) -> NDArray[np.float64]:
    """The log-median of each process."""
    return np.array([np.log(np.median(process)) for process in case])


def recorded_suites() -> Suites:
    """The log-medians of every recorded case, by file and case."""
    files: Suites = {}
    for name, case in read_recordings().items():
        file, _, rest = name.partition(": ")
        files.setdefault(file, {})[rest] = medians(case)
    return files


def measured_suites(runs: Sequence[Path]) -> Suites:
    """The same of the JSON of `pytest bench`."""
    return {run.stem: {name: np.array(case["log_medians"]) for name, case in run_cases(run).items()} for run in runs}


def run_cases(run: Path) -> Mapping[str, Mapping[str, Any]]:
    """The cases of such a file, whole or trimmed as those in docs/measured are."""
    cases: Mapping[str, Mapping[str, Any]] = json.loads(run.read_text())["inferkit"]["cases"]
    return cases


def logged_suites(path: Path, margin: float | None = None) -> tuple[SuiteData, ...]:
    """What `inferkit gate selftest --log FILE` wrote, the baseline first, with the margins of all its cases.

    `margin` is that of cases without one in the file.
    """
    baseline, *suites = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    margins = {**dict.fromkeys(baseline["log_medians"], margin), **baseline.get("margins", {})}
    return tuple(
        SuiteData(line["kind"], line["share"], tuple(line["slowed"]), line["log_medians"], margins)
        for line in (baseline, *suites)
    )
