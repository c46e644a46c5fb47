"""The reference network within `pytest bench`: measured beside the cases, stored with them, asked before a verdict."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys

import onnx
import pytest

from inferkit.gate.files.run_file import read_run
from inferkit.gate.history.store import History
from inferkit.gate.metrics import REFERENCE
from inferkit.report.page.view import view_of
from tests.suite.tiny_project import MATRIX, make_project, refused_model

CASE = "test_latency[tiny-fp32-b1-onnxruntime]"
LATENCIES = ("-k", "latency", "--benchmark-json=run.json", "--history=history.duckdb")


@pytest.fixture(scope="module")
def measured(tmp_path_factory, tiny_files):
    """A run with the reference, and its baseline. Margins are wide: the noise of a busy machine must not decide."""
    project = make_project(tmp_path_factory.mktemp("reference") / "project", tiny_files)
    text = MATRIX.replace("reference = false\n", "").replace("[1, 4]", "[1, 2, 4]").replace("= 2\n", "= 3\n")
    project.matrix(text + '\n[margins]\n"*" = 9\n')
    run = project.run(*LATENCIES)
    promote = [sys.executable, "-m", "inferkit.cli.main", "baseline", "promote", "run.json"]
    subprocess.run(promote, cwd=project.folder, capture_output=True, check=True)
    (path,) = (project.folder / "baselines").glob("*.json")
    return project, run, run.json["inferkit"], path


def faster(path, *, cases: float = 1.0, reference: float = 1.0, memory: float = 1.0) -> None:
    """Make the baseline one of a machine, or of software, that was so many times faster."""
    stored = json.loads(path.read_text())
    for case in stored["cases"].values():
        case["log_medians"] = [value - math.log(cases) for value in case["log_medians"]]
        case.pop("log_p99", None)
    for key, factor in (("reference", reference), ("memory_reference", memory)):
        logs = stored[key]["log_medians"]
        stored[key]["log_medians"] = [value - math.log(factor) for value in logs]
    path.write_text(json.dumps(stored))


@contextlib.contextmanager
def put_back(path):
    """A file that may be changed meanwhile."""
    kept = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(kept)


def test_it_is_measured_in_every_round_and_kept_everywhere(measured):
    project, run, ours, path = measured
    assert run.code == 0, run.text
    steps = [line.split("] ")[1] for line in run.text.splitlines() if ", replicate " in line]
    assert [step.split("-")[0] for step in steps] == ["reference", "memory", "tiny", "tiny", "tiny"] * 3
    (reference,) = ours["references"].values()
    assert (reference["name"], reference["case"]) == ("reference-2", "reference-2-fp32-b1-onnxruntime")
    assert len(reference["log_medians"]) == 3
    assert reference["case"] not in ours["cases"]
    stored = json.loads(path.read_text())
    assert (stored["reference"]["name"], stored["memory_reference"]["name"]) == ("reference-2", "memory-1")
    (memory,) = ours["memory_references"].values()
    assert len(memory["log_medians"]) == len(stored["memory_reference"]["log_medians"]) == 3
    (series,) = History(project.folder / "history.duckdb").series("reference-2", metric=REFERENCE)
    assert series.points[0].values == pytest.approx([math.exp(value) for value in reference["log_medians"]])
    shown = run.text.split("inferkit =")[-1]
    assert "reference-2" not in shown  # it is no case of the table
    assert "memory-1" not in shown


@pytest.mark.slow
def test_what_the_machine_may_have_done_is_called_nothing_else(measured):
    project, _, _, path = measured
    with put_back(path):
        faster(path, cases=200, reference=10_000)
        run = project.run(*LATENCIES)
    assert run.code == 10, run.text
    assert run.verdict(CASE) == "INCONCLUSIVE"
    said = run.tests[CASE].find("skipped").get("message")
    assert "the reference network moved by +" in said
    assert "the machine did" in said
    assert "--against" in said
    assert any(line.startswith("onnxruntime: the reference network moved by +") for line in run.text.splitlines())
    (reference,) = run.json["inferkit"]["references"].values()
    assert reference["moved"]
    (remark,) = view_of(read_run(project.folder / "run.json")).remarks  # what the reports show above the cases
    assert remark.endswith("the machine did")


@pytest.mark.slow
def test_the_memory_alone_may_have_done_it(measured):
    project, _, _, path = measured
    with put_back(path):
        faster(path, cases=200, memory=10_000)
        run = project.run(*LATENCIES)
    assert run.code == 10, run.text
    assert run.verdict(CASE) == "INCONCLUSIVE"
    assert "the memory's reference network moved by +" in run.tests[CASE].find("skipped").get("message")


def test_a_case_that_cannot_be_measured_does_not_take_the_others_with_it(measured):
    project, *_ = measured
    matrix = project.folder / "bench" / "matrix.toml"
    onnx.save(refused_model(), str(matrix.with_name("refused.onnx")))
    with put_back(matrix):
        matrix.write_text(matrix.read_text() + '\n[[networks]]\nname = "refused"\nmodel = "refused.onnx"\n')
        run = project.run(*LATENCIES)
    assert run.code == 1, run.text
    assert run.verdict(CASE) == "PASS"
    assert run.verdict("test_latency[refused-fp32-b1-onnxruntime]") == "FAILED"
    assert "NobodyKnows" in run.text
    assert "INTERNALERROR" not in run.text


def test_where_it_did_not_the_software_did(measured):
    project, _, _, path = measured
    with put_back(path):
        faster(path, cases=200)
        run = project.run(*LATENCIES)
    assert run.code == 1
    assert run.verdict(CASE) == "SUSPECT"  # base cannot be had: this is no git repository
    assert "the reference network did not (" in run.text
    assert "the software did" in run.text
