"""Measures one prepared case in fresh processes, as a suite and `ab` do, for a reproduction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from inferkit.errors import BackendUnavailable
from inferkit.gate.run import CaseRun
from inferkit.measure.case import Case
from inferkit.measure.jobs.interpreter import with_environment
from inferkit.measure.jobs.launch import run_replicate
from inferkit.measure.latency.replicate import ReplicateSpec
from inferkit.measure.progress import Progress
from inferkit.suite.campaign.artifacts import Artifacts
from inferkit.suite.campaign.records import case_run
from inferkit.suite.campaign.target import availability, fingerprint_of, measuring_environment
from inferkit.suite.matrix.definition import BackendSettings
from inferkit.suite.reproduction.contents import Figures, session_of

MARGIN = 0.05  # of a case that states none


def measure(
    case: Case,
    prepared: Path,
    *,
    build: Mapping[str, Any],
    session: Mapping[str, Any],
    min_time: float,
    processes: int,
    source: str,
    progress: Progress | None = None,
) -> tuple[Figures, tuple[str, ...]]:
    """The figures of `processes` fresh processes, and what disturbed them, each reason once.

    `prepared` is the folder of the network. Times in seconds. Raises BackendUnavailable where the case cannot run here,
    MeasurementError where it fails.
    """
    available = availability(case.backend, case.precision)
    if not available.ok:
        raise BackendUnavailable(available.reason, available.hint)
    progress = progress or Progress()
    progress.begin(processes)
    artifacts = Artifacts(progress.during)
    try:
        engine = artifacts.engine(prepared, case.backend, case.precision, case.batch_size, build, case.id)
        spec = ReplicateSpec(engine, session_of(case, session), min_time=min_time)
        by = with_environment(None, measuring_environment(case.backend, case.precision, session))
        replicates = []
        for number in range(processes):
            with progress.during(f"{case.id}, process {number + 1} of {processes}"):
                replicates.append(run_replicate(replace(spec, details=number == 0), case.id, by=by))
    finally:
        artifacts.close()
        progress.end()
    fingerprint = fingerprint_of(case.backend, BackendSettings(build, session))
    measured: CaseRun = case_run(case, replicates, MARGIN, fingerprint.slug)
    reasons = dict.fromkeys(reason for each in replicates for reason in each.invalid)
    return Figures(source, fingerprint.as_dict(), measured), tuple(reasons)
