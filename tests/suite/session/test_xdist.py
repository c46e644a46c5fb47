"""Under pytest-xdist: one run in the end, whatever worker found what; latencies on the CPU are refused, and why."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest

from inferkit.backends import gpus
from inferkit.gate.history.store import History
from inferkit.gate.metrics import ACCURACY
from inferkit.suite.session.xdist import by_name, merged, take_gpu
from tests.suite.tiny_project import MATRIX, make_project

REASON = "latency cases share the CPU with the other workers of pytest-xdist; run them without -n"
TWO = MATRIX.replace("reference = false", "reference = true") + MATRIX[MATRIX.index("[[networks]]") :].replace(
    'name = "tiny"', 'name = "other"'
)


@pytest.fixture(scope="module")
def parallel(tmp_path_factory, tiny_files):
    """A run of two networks by two workers."""
    project = make_project(tmp_path_factory.mktemp("xdist") / "project", tiny_files)
    project.matrix(TWO)
    files = ("--benchmark-json=run.json", "--verdict-json=verdicts.json", "--history=history.duckdb", "--github")
    return project, project.run("-n", "2", "--batch-size=1", *files)


def test_cpu_latencies_are_refused_with_the_reason_and_the_run_does_not_look_green(parallel):
    _, run = parallel
    assert run.code == 10, run.text
    for network in ("tiny", "other"):
        assert run.verdict(f"test_latency[{network}-fp32-b1-onnxruntime]") == "INVALID"
        assert run.verdict(f"test_accuracy[{network}-fp32-onnxruntime]") == "PASS"
    assert REASON in run.text
    assert "2 passed, 2 invalid" in run.text or "2 invalid, 2 passed" in run.text


def test_what_the_workers_found_is_one_run(parallel):
    project, run = parallel
    ours = run.json["inferkit"]
    assert set(ours["accuracy"]) == {"tiny-fp32-onnxruntime", "other-fp32-onnxruntime"}
    judged = {outcome["case"]: outcome["verdict"] for outcome in ours["outcomes"]}
    refused = {f"{network}-fp32-b1-onnxruntime" for network in ("tiny", "other")}
    assert judged == dict.fromkeys(refused, "INVALID") | dict.fromkeys(ours["accuracy"], "PASS")
    assert all(f"::warning title=INVALID {case}::" in run.text for case in refused)
    assert ours["cases"] == {}
    entries = {entry["extra_info"]["case"]: entry for entry in run.json["benchmarks"]}
    assert set(entries) == set(ours["accuracy"])
    assert all(len(entry["stats"]["data"]) == entry["stats"]["rounds"] == 1 for entry in entries.values())
    assert "written: run.json" in run.text.replace(str(project.folder) + "/", "")
    with np.load(project.folder / "run.traces.npz") as traces:
        for name, facts in ours["accuracy"].items():
            assert np.isin(traces[f"{name}/predictions"], range(10)).all(), facts
    history = History(project.folder / "history.duckdb")
    assert len(history.runs()) == 1
    assert {series.case for series in history.series(metric=ACCURACY)} == set(ours["accuracy"])
    verdicts = json.loads((project.folder / "verdicts.json").read_text())
    assert verdicts["counts"] == {"INVALID": 2, "PASS": 2}
    assert verdicts["exit_code"] == 10
    assert verdicts["outcomes"] == ours["outcomes"]


@pytest.mark.slow
def test_a_worker_that_dies_is_told_and_the_others_cases_are_kept(parallel):
    project, _ = parallel
    crash = "import os\ndef test_crash():\n    os._exit(3)\n"
    (project.folder / "bench" / "test_crash.py").write_text(crash)
    run = project.run("-n", "2", "--batch-size=1", "--benchmark-json=crash.json")
    assert run.code == 1
    assert "crashed" in run.text
    kept = json.loads((project.folder / "crash.json").read_text())["inferkit"]
    assert set(kept["accuracy"]) <= {"tiny-fp32-onnxruntime", "other-fp32-onnxruntime"}


def test_interleaved_blocks_want_the_machine_for_themselves(project):
    run = project.run("-n", "2", "--against=HEAD")
    assert run.code == 4
    assert "--against measures in interleaved blocks and needs the machine for itself: run without -n" in run.text


def worker(number: int):
    return types.SimpleNamespace(workerinput={"workerid": f"gw{number}", "workercount": 3})


def test_each_worker_takes_a_gpu_of_its_own(monkeypatch):
    devices = [gpus.Gpu(n, f"GPU-{n}", "NVIDIA H100", (9, 0), 80 << 30, "13.0") for n in range(2)]
    monkeypatch.setattr(gpus, "visible_gpus", lambda: tuple(devices))
    chosen = []
    for number in range(3):
        monkeypatch.delenv(gpus.DEVICE, raising=False)
        take_gpu(worker(number))
        chosen.append(gpus.find_gpu().uuid)
    assert chosen == ["GPU-0", "GPU-1", "GPU-0"]
    monkeypatch.setenv(gpus.DEVICE, "1")
    take_gpu(worker(0))
    assert gpus.find_gpu().uuid == "GPU-1"


def test_cases_of_several_workers_are_told_by_name_and_number():
    names = ["net-fp32-b64-x", "net-fp16-b1-x", "net-fp32-b8-x", "8bit-fp32-b1-x", "net-fp32-x"]
    assert sorted(names, key=by_name) == [names[3], names[1], names[2], names[0], names[4]]


def test_records_of_workers_become_one_with_every_replicate_of_the_reference():
    def record(case, logs):
        return {
            "schema": 1,
            "fingerprints": {"m": {"cpu": "x"}},
            "declared": {"m": ["a", "b"]},
            "baselines": {"m": {"commit": "abc"}},
            "cases": {case: {"log_medians": [1.0]}},
            "accuracy": {},
            "references": {"m": {"name": "reference-2", "log_medians": logs}},
            "memory_references": {"m": {"name": "memory-1", "log_medians": logs}},
            "outcomes": [{"case": case}],
            "remarks": ["the machine did"],
            "screened": {},
            "busy_host": [],
            "unsupported": {},
            "failures": {},
        }

    merged_run = merged([record("b", [3.0]), record("a", [1.0, 2.0])])
    assert list(merged_run["cases"]) == ["a", "b"]
    assert merged_run["declared"] == {"m": ["a", "b"]}
    assert merged_run["baselines"] == {"m": {"commit": "abc"}}
    assert merged_run["remarks"] == ["the machine did"]
    assert merged_run["references"]["m"]["log_medians"] == [3.0, 1.0, 2.0]
    assert merged_run["memory_references"]["m"]["log_medians"] == [3.0, 1.0, 2.0]
    assert [outcome["case"] for outcome in merged_run["outcomes"]] == ["a", "b"]
