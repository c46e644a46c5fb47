"""Measures one prepared case in fresh processes, as a suite and `ab` do, for a reproduction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from inferkit.backends import backend
from inferkit.errors import BackendUnavailable
from inferkit.gate.run import CaseRun
from inferkit.measure.case import Case
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.jobs.interpreter import with_environment
from inferkit.measure.jobs.launch import build_engine_file, run_replicate
from inferkit.measure.latency.replicate import ReplicateSpec
from inferkit.measure.progress import Progress
from inferkit.suite.campaign.records import case_run
from inferkit.suite.campaign.target import availability, environment_of, fingerprint_of, measuring_environment
from inferkit.suite.matrix.definition import BackendSettings
from inferkit.suite.reproduction.contents import Figures, session_of

MARGIN = 0.05  # of a case that states none


def measure(
    case: Case,
    prepared: Path,
    folder: Path,
    *,
    build: Mapping[str, Any],
    session: Mapping[str, Any],
    min_time: float,
    processes: int,
    source: str,
    progress: Progress | None = None,
) -> tuple[Figures, tuple[str, ...]]:
    """The figures of `processes` fresh processes, and what disturbed them, each reason once.

    `prepared` is the folder of the network, in `folder` the engine is built where the backend keeps engine files. Times
    in seconds. Raises BackendUnavailable where the case cannot run here, MeasurementError where it fails.
    """
    available = availability(case.backend, case.precision)
    if not available.ok:
        raise BackendUnavailable(available.reason, available.hint)
    progress = progress or Progress()
    progress.begin(processes)
    try:
        engine = EngineSpec(str(prepared), case.backend, case.batch_size, build)
        if backend(case.backend).facts.keeps_engine_files:
            by = with_environment(None, environment_of(case.backend, case.precision))
            with progress.during(f"{case.id}, building"):
                engine = replace(engine, file=build_engine_file(engine, folder, case.id, by=by))
        spec = ReplicateSpec(engine, session_of(case, session), min_time=min_time)
        by = with_environment(None, measuring_environment(case.backend, case.precision, session))
        replicates = []
        for number in range(processes):
            with progress.during(f"{case.id}, process {number + 1} of {processes}"):
                replicates.append(run_replicate(replace(spec, details=number == 0), case.id, by=by))
    finally:
        progress.end()
    fingerprint = fingerprint_of(case.backend, BackendSettings(build, session))
    measured: CaseRun = case_run(case, replicates, MARGIN, fingerprint.slug)
    reasons = dict.fromkeys(reason for each in replicates for reason in each.invalid)
    return Figures(source, fingerprint.as_dict(), measured), tuple(reasons)
