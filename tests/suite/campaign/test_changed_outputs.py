"""An answer that changed at equal accuracy and time: shown in the run; it fails where the matrix asks for agreement."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from inferkit.gate.files.output_store import read_outputs
from tests.cli.called import exit_code
from tests.suite.tiny_project import MATRIX, Project

pytestmark = pytest.mark.slow  # each a run of pytest in a process of its own

ONE = MATRIX.replace("[1, 4]", "[1]")
CASE = "tiny-fp32-b1-onnxruntime"
# This is about outputs: no time of a busy machine may decide it.
WIDE = '\n[margins]\n"*" = 10.0\n'


def less_sure(project: Project) -> None:
    """Make the network as right as before, and less sure of it."""
    path = project.folder / "bench" / "tiny.onnx"
    model = onnx.load(str(path))
    (weights,) = model.graph.initializer
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(0.1), weights.name))
    onnx.save(model, str(path))


def outcome_of(run) -> dict:
    (outcome,) = [each for each in run.json["inferkit"]["outcomes"] if each["metric"] == "outputs"]
    return outcome


@pytest.fixture
def promoted(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a baseline."""
    project.matrix(ONE + WIDE)
    run = project.run("--benchmark-json=run.json")
    assert run.code == 0, run.text
    monkeypatch.chdir(project.folder)
    assert exit_code(["baseline", "promote", "run.json", "--accept-regression", "only its outputs matter here"]) == 0
    return project


def test_outputs_go_from_the_run_to_the_baseline_and_are_the_same_in_the_next_run(promoted: Project) -> None:
    (path,) = (promoted.folder / "baselines").glob("*.json")
    kept = read_outputs(path)[CASE]
    assert kept.precision == "fp32"
    assert kept.outputs["prob"].shape == (1, 4)
    assert float(kept.outputs["prob"].sample.sum()) == pytest.approx(1, abs=1e-6)  # softmax, in float32
    promoted.matrix(ONE.replace("[suite]", '[suite]\noutputs = "same"') + WIDE)
    run = promoted.run("--benchmark-json=run.json", "-k", "test_latency")
    assert outcome_of(run)["verdict"] == "PASS"
    assert outcome_of(run)["reason"] == "identical to the bit"


def test_a_changed_answer_is_shown_and_fails_nothing_by_default(promoted: Project) -> None:
    less_sure(promoted)
    run = promoted.run("--benchmark-json=run.json")
    assert outcome_of(run)["verdict"] == "PASS"
    assert f"{CASE} outputs: PASS: outputs changed: max difference of prob" in run.text.replace("; ", ": ")
    assert run.verdict("test_accuracy[tiny-fp32-onnxruntime]") == "PASS"


def test_a_changed_answer_fails_its_test_where_agreement_is_asked(promoted: Project) -> None:
    less_sure(promoted)
    promoted.matrix(ONE.replace("[suite]", '[suite]\noutputs = "close"') + WIDE)
    run = promoted.run("--benchmark-json=run.json")
    assert run.code == 1, run.text
    assert run.verdict(f"test_latency[{CASE}]") == "REGRESSED"
    assert "outputs changed" in run.text
    assert run.verdict("test_accuracy[tiny-fp32-onnxruntime]") == "PASS"


def test_other_inputs_are_named_where_agreement_is_asked(promoted: Project) -> None:
    promoted.matrix(ONE.replace("[suite]", '[suite]\noutputs = "same"').replace("0.01 }", "0.02 }") + WIDE)
    run = promoted.run("--benchmark-json=run.json", "-k", "test_latency")
    assert outcome_of(run)["verdict"] == "INCONCLUSIVE"
    assert "other inputs" in outcome_of(run)["reason"]
