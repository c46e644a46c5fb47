"""Iterations until there are enough, and what is done between them: a real session, on the CPU."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import inferkit
from inferkit.backends.base import Session, Trace
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.latency.iterations import CHECK_SECONDS, COLUMNS, iterate
from inferkit.measure.latency.replicate import ReplicateSpec
from inferkit.measure.machine.quiet_core import QuietCore
from tests.suite.tiny_project import tiny_images, tiny_model


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    onnx.save(tiny_model(), str(tmp_path / "tiny.onnx"))
    engine = inferkit.build(inferkit.load(tmp_path / "tiny.onnx"), backend="onnxruntime", max_batch=4)
    with engine.session() as opened:
        opened.load(tiny_images()[0][:4].astype(np.float32))
        yield opened


def limits(**changes: Any) -> ReplicateSpec:
    return ReplicateSpec(EngineSpec("", "onnxruntime", 1), **{"max_iterations": 10**7, **changes})


def test_looking_is_no_measuring(session: Session) -> None:
    seen: list[int] = []

    def look(last: Sequence[Trace]) -> None:
        seen.append(len(last))
        time.sleep(0.1)

    began = time.perf_counter()
    # Long enough that no stall of a busy machine takes all of it.
    trace = iterate(session.execute, limits(min_time=10 * CHECK_SECONDS), look)
    passed = time.perf_counter() - began
    ended = trace[:, 0] + trace[:, COLUMNS.index("wall")]
    assert trace[0, 0] >= 0.1  # one comes before anything is measured
    assert seen[0] == 0
    assert len(seen) >= 2
    assert sum(seen) <= len(trace)
    assert passed >= 10 * CHECK_SECONDS + 0.1 * len(seen)
    assert (trace[1:, 0] - ended[:-1]).max() >= 0.1  # the others lie between two iterations, inside none


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores to choose from")
def test_real_runs_are_measured_on_one_core_at_a_time(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERKIT_LEASE_DIR", str(tmp_path / "leases"))
    everywhere = os.sched_getaffinity(0)
    seen: set[frozenset[int]] = set()

    def execute() -> Trace:
        seen.add(frozenset(os.sched_getaffinity(0)))
        return session.execute()

    with contextlib.closing(QuietCore(session.execute)) as placed:
        trace = iterate(execute, limits(min_time=4 * CHECK_SECONDS), placed.check)
        assert placed.core in everywhere
    assert len(trace) >= 11
    assert all(len(cores) == 1 for cores in seen)
    assert os.sched_getaffinity(0) == everywhere
