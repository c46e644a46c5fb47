"""`pytest bench --against REF`: the files as they are against a commit, in a user's project."""

import onnx
import pytest

from inferkit.gate.run_file import read_run
from inferkit.report.write import view_of_files
from tests.suite.test_ab_run import git, slow_model
from tests.suite.tiny_project import MATRIX

LATENCY = "test_latency[tiny-fp32-b1-onnxruntime]"


@pytest.mark.slow
def test_a_network_that_was_made_slower_since_the_commit_fails_its_test(project):
    project.matrix(MATRIX.replace("[1, 4]", "[1]"))
    git(project.folder, "init", "-q")
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-q", "-m", "fast")
    onnx.save(slow_model(), str(project.folder / "bench" / "tiny.onnx"))
    run = project.run("--against=HEAD", "--benchmark-json=run.json")
    assert run.code == 1, run.text
    assert run.verdict(LATENCY) == "REGRESSED"
    assert "latencies are judged against HEAD" in run.text
    (outcome,) = [each for each in run.json["inferkit"]["outcomes"] if each["metric"] == "latency"]
    assert outcome["replicates"] == outcome["baseline_replicates"] >= 4
    assert len(git(project.folder, "worktree", "list").splitlines()) == 1
    (case,) = run.json["inferkit"]["cases"].values()
    assert case["against"]["ref"] == "HEAD"
    assert len(case["against"]["log_medians"]) == outcome["baseline_replicates"]
    view = view_of_files(read_run(project.folder / "run.json"), [], project.folder / "run.json")
    assert view.against.startswith("compared with HEAD")
    shown = next(each for each in view.cases if each.metric == "latency")
    assert len(shown.before) == outcome["baseline_replicates"]
    assert all(strip.quantiles for strip in shown.before)


def test_a_commit_that_does_not_exist_is_a_usage_error(project):
    git(project.folder, "init", "-q")
    run = project.run("--against=nowhere", "--batch-size=1")
    assert run.code == 4, run.text
    assert "neither a file nor a commit" in run.text
