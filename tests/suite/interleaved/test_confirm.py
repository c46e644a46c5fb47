"""Screen, then confirm, in a user's repository: suspects are measured in turns with the baseline's own commit."""

from __future__ import annotations

import json
import math

import onnx
import pytest

from tests.git_folder import git
from tests.suite.interleaved.test_ab_run import slow_model
from tests.suite.tiny_project import Project, make_project, store_baseline

ONE = "tiny-fp32-b1-onnxruntime"
RUN = ("--benchmark-json=run.json", "--accept-busy-host", "-k", "test_latency", "--batch-size=1")


@pytest.fixture(scope="module")
def repository(tmp_path_factory, tiny_files):
    """A project with a baseline of its own, all committed, run files ignored."""
    project = make_project(tmp_path_factory.mktemp("confirm") / "project", tiny_files)
    git(project.folder, "init", "-q")
    (project.folder / ".gitignore").write_text("run.*\njunit.xml\n__pycache__/\n")
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-q", "-m", "project")
    project.run("--replicates=3", *RUN)
    assert project.inferkit("baseline", "promote", "run.json").returncode == 0
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-q", "-m", "baseline")
    return project


@pytest.fixture
def committed(repository, tmp_path):
    """A clone of it that a test may change."""
    git(tmp_path, "clone", "-q", str(repository.folder), "clone")
    return Project(tmp_path / "clone")


def outcomes(project, metric="latency"):
    run = json.loads((project.folder / "run.json").read_text())
    return {each["case"]: each for each in run["inferkit"]["outcomes"] if each["metric"] == metric}


def test_a_changed_network_is_measured_in_turns_with_base(committed):
    onnx.save(slow_model(), str(committed.folder / "bench" / "tiny.onnx"))
    run = committed.run(*RUN)
    assert run.code == 1, run.text
    base = git(committed.folder, "rev-parse", "HEAD~1")[:12]
    for outcome in outcomes(committed).values():
        assert outcome["verdict"] == "REGRESSED"
        assert f"measured in turns with {base}" in outcome["reason"]
        assert "the stored baseline had said" in outcome["reason"]
        assert outcome["base_replicates"] == outcome["head_replicates"] >= 4
        assert outcome["margin"] == pytest.approx(0.02)
    assert base in run.text
    assert git(committed.folder, "worktree", "list").count("\n") == 0


@pytest.mark.slow
def test_of_what_did_not_change_one_case_is_a_sample(committed):
    run = committed.run(*RUN, "--inferkit-min-time=0.2", "--confirm-budget=20")
    said = [line for line in run.text.splitlines() if line.startswith("measured in turns with")]
    assert len(said) == 1, run.text
    cases = json.loads((committed.folder / "run.json").read_text())["inferkit"]["cases"]
    assert any("screened" in case for case in cases.values())
    for case in cases.values():
        if "screened" in case:
            assert case["screened"]["metric"] == "latency"
            assert case["confirmed"] in said[0]


@pytest.mark.slow
def test_nothing_is_measured_in_turns_where_nobody_wants_it(committed):
    onnx.save(slow_model(), str(committed.folder / "bench" / "tiny.onnx"))
    run = committed.run(*RUN, "--inferkit-confirm=never")
    assert "measured in turns" not in run.text
    assert outcomes(committed)[ONE]["verdict"] == "REGRESSED", run.text


@pytest.mark.slow
def test_without_a_commit_what_is_worse_is_suspect(project):
    store_baseline(project.folder / "baselines", {ONE: [math.log(1e-6)] * 3})
    run = project.run(*RUN, "--replicates=6")
    assert run.code == 1
    for outcome in outcomes(project).values():
        assert outcome["verdict"] == "SUSPECT"
        assert "not confirmed" in outcome["reason"]
        assert "not in a git repository" in outcome["reason"]
        assert "inferkit ab" in outcome["hint"]
    assert run.verdict(f"test_latency[{ONE}]") == "SUSPECT"


@pytest.mark.slow
def test_a_commit_with_another_network_is_no_base(committed):
    """The baseline was measured on a network that no commit has: nothing is said to be confirmed."""
    (baseline,) = (committed.folder / "baselines").glob("*.json")
    content = json.loads(baseline.read_text())
    for case in content["cases"].values():
        case["network"] = "0123456789ab"
        case["log_medians"] = [value - 3 for value in case["log_medians"]]
    baseline.write_text(json.dumps(content))
    git(committed.folder, "commit", "-q", "-a", "-m", "edited")
    run = committed.run(*RUN, "--replicates=6")
    for outcome in outcomes(committed).values():
        assert outcome["verdict"] == "SUSPECT", run.text
        assert "not the one that the baseline was measured with" in outcome["reason"]
