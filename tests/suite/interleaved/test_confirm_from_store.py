"""A network that git does not have is confirmed against the one that the baseline was measured with, from the store."""

from __future__ import annotations

import json

import onnx
import pytest

from tests.git_folder import git
from tests.suite.interleaved.test_ab_run import slow_model
from tests.suite.tiny_project import MATRIX, Project

RUN = ("--benchmark-json=run.json", "--accept-busy-host", "-k", "test_latency")
CASE = "tiny-fp32-b1-onnxruntime"


def committed(project: Project, matrix: str) -> Project:
    """The project with a baseline, whose model and images git ignores."""
    project.matrix(matrix)
    git(project.folder, "init", "-q")
    (project.folder / ".gitignore").write_text("run.*\njunit.xml\n__pycache__/\n*.onnx\n*.npz\nengines/\n")
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-q", "-m", "project")
    project.run("--replicates=3", *RUN)
    done = project.inferkit("baseline", "promote", "run.json")
    assert done.returncode == 0, done.stderr
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-q", "-m", "baseline")
    onnx.save(slow_model(), str(project.folder / "bench" / "tiny.onnx"))
    return project


def latency(project: Project) -> dict:
    run = json.loads((project.folder / "run.json").read_text())
    (outcome,) = [each for each in run["inferkit"]["outcomes"] if each["metric"] == "latency"]
    return outcome


@pytest.mark.slow
def test_base_is_the_network_that_was_promoted(project: Project) -> None:
    store = '[suite]\nstore = "../engines"\n'
    committed(project, MATRIX.replace("[suite]\n", store).replace("[1, 4]", "[1]"))
    run = project.run(*RUN)
    assert run.code == 1, run.text
    assert latency(project)["verdict"] == "REGRESSED"
    assert "measured in turns with" in latency(project)["reason"]
    assert latency(project)["base_replicates"] >= 4


@pytest.mark.slow
def test_without_a_store_the_reason_says_which_file_is_missing_and_what_to_name(project: Project) -> None:
    committed(project, MATRIX.replace("[1, 4]", "[1]"))
    project.run(*RUN)
    assert latency(project)["verdict"] == "SUSPECT"
    assert "tiny.onnx: the commit does not have it" in latency(project)["reason"]
    assert "INFERKIT_STORE" in latency(project)["reason"]
