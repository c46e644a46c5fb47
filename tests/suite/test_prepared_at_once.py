"""Networks are made ready several at once where there are cores enough, before anything is built or measured."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from inferkit.errors import MeasurementError
from inferkit.gate.files.baseline import BaselineStore
from inferkit.measure.jobs import launch
from inferkit.measure.jobs.interpreter import Interpreter
from inferkit.suite.campaign import artifacts, campaign
from inferkit.suite.campaign.artifacts import Artifacts
from inferkit.suite.campaign.campaign import Campaign, CampaignSettings
from inferkit.suite.matrix.read import load_matrix
from tests.suite.campaign.test_campaign import Steps
from tests.suite.tiny_project import MATRIX

QUICK = CampaignSettings(replicates=1, min_time=0.001, reference=False)


@pytest.fixture
def matrix(tiny_files: Path, tmp_path: Path):
    for path in tiny_files.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "matrix.toml").write_text(f'{MATRIX}precisions = ["fp32", "int8"]\n')
    return load_matrix(tmp_path / "matrix.toml")


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "usable_cores", lambda: 8)


def test_all_are_ready_before_the_first_replicate(matrix, tmp_path, monkeypatch, eight_cores) -> None:
    both, done, ready = threading.Barrier(2, timeout=60), [], []
    prepare, measure = artifacts.prepare_network, campaign.run_replicate

    def prepared(recipe, folder, **more):
        both.wait()  # broken unless two are under way at once
        prepare(recipe, folder, **more)
        done.append(recipe.precision)

    def measured(*given, **more):
        ready.append(len(done))
        return measure(*given, **more)

    monkeypatch.setattr(artifacts, "prepare_network", prepared)
    monkeypatch.setattr(campaign, "run_replicate", measured)
    steps = Steps()
    with Campaign(matrix, BaselineStore(tmp_path / "none"), QUICK, progress=steps) as running:
        running.run(list(matrix.cases()), list(matrix.accuracy_cases()))
        assert [record.failure for record in running.records()] == [None] * 6
    assert sorted(done) == ["fp32", "int8"]
    assert set(ready) == {2}
    assert steps.steps_seen[:2] == ["tiny at fp32, preparing", "tiny at int8, preparing"]
    assert steps.planned == steps.ended == len(steps.steps_seen)


def test_what_cannot_be_made_is_the_failure_of_its_own_cases(matrix, tmp_path, monkeypatch, eight_cores) -> None:
    prepare = artifacts.prepare_network

    def prepared(recipe, folder, **more):
        if recipe.precision == "int8":
            raise MeasurementError("tiny at int8: no")
        return prepare(recipe, folder, **more)

    monkeypatch.setattr(artifacts, "prepare_network", prepared)
    with Campaign(matrix, BaselineStore(tmp_path / "none"), QUICK) as running:
        running.run(list(matrix.cases()))
        failures = {record.case.precision: record.failure for record in running.records()}
    assert failures == {"fp32": None, "int8": "tiny at int8: no"}


def test_an_interrupt_ends_the_processes_under_way(matrix, tmp_path, eight_cores) -> None:
    hanging = tmp_path / "python"
    hanging.write_text(f'#!/bin/sh\n[ "$2" = -m ] && exec sleep 600\nexec {sys.executable} "$@"\n')  # a job hangs
    hanging.chmod(0o755)
    started: list[int] = []

    @contextlib.contextmanager
    def interrupted(what: str):
        limit = time.monotonic() + 60
        while len(launch._running) < 2:
            assert time.monotonic() < limit
            time.sleep(0.01)
        started.extend(process.pid for process in launch._running)
        raise KeyboardInterrupt
        yield

    made = Artifacts(interrupted, by=Interpreter(python=str(hanging)))
    (network,) = matrix.networks
    with contextlib.closing(made), pytest.raises(KeyboardInterrupt):
        made.prepare([(network, "fp32"), (network, "int8")])
    assert len(started) == 2
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
