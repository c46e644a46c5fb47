"""What `pytest bench` leaves in the history, where, and what it says when that fails."""

from __future__ import annotations

import json
import math

import pytest

from inferkit.gate.history.store import History
from inferkit.gate.metrics import ACCURACY, COLD_START, HOST_MEMORY, LATENCY

CASE = "tiny-fp32-b1-onnxruntime"


def test_a_run_is_remembered_with_its_figures_and_is_the_same_as_its_file(project):
    run = project.run("--history=kept/history.duckdb", "--benchmark-json=run.json", "--verdict-json=verdicts.json")
    assert run.code == 0, run.text
    history = History(project.folder / "kept" / "history.duckdb")
    (info,) = history.runs()
    assert info.version == run.json["inferkit"]["version"]
    metrics = {series.metric for series in history.series(CASE)}
    assert {LATENCY, HOST_MEMORY, COLD_START} <= metrics
    (latency,) = history.series(CASE, metric=LATENCY)
    assert latency.points[0].verdict == "NO_BASELINE"
    logs = [math.log(value) for value in latency.points[0].values]
    assert logs == pytest.approx(run.json["inferkit"]["cases"][CASE]["log_medians"], abs=1e-12)
    assert history.series("tiny-fp32-onnxruntime", metric=ACCURACY)[0].points[0].centre == pytest.approx(95.0)
    assert json.loads((project.folder / "verdicts.json").read_text())["ratchet"] == []

    from inferkit.gate.files.run_file import read_run
    from inferkit.gate.history.summary import summary_of

    assert history.append([summary_of(read_run(project.folder / "run.json"))]) == []


def test_the_default_is_the_cache_and_an_ini_file_can_name_another(project, tmp_path):
    (project.folder / "pytest.ini").write_text("[pytest]\n")
    fast = ("--model=tiny", "--batch-size=1", "-k", "latency", "--replicates=1")
    assert project.run(*fast, INFERKIT_CACHE=str(tmp_path / "cache")).code == 0
    assert len(History(tmp_path / "cache" / "history.duckdb").runs()) == 1
    (project.folder / "pytest.ini").write_text("[pytest]\ninferkit_history = mine.duckdb\n")
    assert project.run(*fast, "--no-history").code == 0
    assert not (project.folder / "mine.duckdb").exists()
    assert project.run(*fast).code == 0
    assert len(History(project.folder / "mine.duckdb").runs()) == 1


def test_a_history_that_is_damaged_is_told_and_fails_nothing(project):
    path = project.folder / "history.duckdb"
    path.write_bytes(b"not a database" * 400)
    run = project.run("--history=history.duckdb", "--batch-size=1", "-k", "latency", "--replicates=1")
    assert run.code == 0
    assert "ERROR: the run was not added to the history: " in run.text
    assert "is damaged or no history" in run.text
    assert path.read_bytes() == b"not a database" * 400
