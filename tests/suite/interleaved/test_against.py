"""`pytest bench --against REF`: the files as they are against a commit, in a user's project."""

import signal
import subprocess

import onnx
import pytest

from inferkit.gate.files.run_file import read_run
from inferkit.report.write import view_of_files
from tests.suite.interleaved.test_ab_run import git, slow_model
from tests.suite.tiny_project import MATRIX, refused_model

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
    assert outcome["head_replicates"] == outcome["base_replicates"] >= 4
    assert len(git(project.folder, "worktree", "list").splitlines()) == 1
    (case,) = run.json["inferkit"]["cases"].values()
    assert case["against"]["ref"] == "HEAD"
    assert len(case["against"]["log_medians"]) == outcome["base_replicates"]
    view = view_of_files(read_run(project.folder / "run.json"), [], project.folder / "run.json")
    assert view.against.startswith("compared with HEAD")
    shown = next(each for each in view.cases if each.metric == "latency")
    assert len(shown.base) == outcome["base_replicates"]
    assert all(strip.quantiles for strip in shown.base)


def test_a_commit_that_does_not_exist_is_a_usage_error(project):
    git(project.folder, "init", "-q")
    run = project.run("--against=nowhere", "--batch-size=1")
    assert run.code == 4, run.text
    assert "neither a file nor a commit" in run.text


def committed(project, model):
    """The project as a repository, whose only commit has this file as the network."""
    project.matrix(MATRIX.replace("[1, 4]", "[1]"))
    network = project.folder / "bench" / "tiny.onnx"
    kept = network.read_bytes()
    network.write_bytes(kept if model is None else model)
    git(project.folder, "init", "-q")
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-q", "-m", "first")
    network.write_bytes(kept)
    return network


def test_a_run_that_is_terminated_leaves_neither_worktree_nor_folder(project, tmp_path):
    committed(project, None)
    (tmp_path / "temporary").mkdir()
    with subprocess.Popen(
        project.command("--against=HEAD", "--accept-busy-host", "--min-time=5", "-k", "test_latency"),
        cwd=project.folder,
        env=project.environment(TMPDIR=str(tmp_path / "temporary"), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout:
            if "block 1" in line:
                break
        assert list((tmp_path / "temporary").glob("inferkit-ab-*")), "it was not measuring yet"
        process.send_signal(signal.SIGTERM)
        text, _ = process.communicate(timeout=60)
    assert process.returncode == 2, text  # as after Ctrl-C
    assert list((tmp_path / "temporary").glob("inferkit-*")) == []
    assert len(git(project.folder, "worktree", "list").splitlines()) == 1


def judged(run):
    """The latency's verdict in the test and in the run's JSON, which must be the same, and its reason."""
    (outcome,) = [each for each in run.json["inferkit"]["outcomes"] if each["metric"] == "latency"]
    assert run.verdict(LATENCY) == outcome["verdict"]
    failed = outcome["verdict"] == "FAILED"
    assert (outcome["case"] in run.json["inferkit"]["failures"]) == failed
    assert not failed or outcome["case"] not in run.json["inferkit"]["cases"]
    return outcome["verdict"], outcome["reason"]


SPOILED = """
import inferkit.suite.interleaved.run
inferkit.suite.interleaved.run.disturbances = lambda base, head: ("another process was on the GPU",)
"""


def test_a_first_block_that_stays_spoiled_is_invalid_and_fails_no_build(project):
    committed(project, None)
    (project.folder / "conftest.py").write_text(SPOILED)
    run = project.run("--against=HEAD", "--benchmark-json=run.json", "-k", "test_latency")
    assert run.code == 10, run.text
    assert judged(run) == ("INVALID", "block 1 was disturbed 3 times: another process was on the GPU")
    assert run.tests[LATENCY].find("skipped") is not None


def test_a_commit_that_cannot_be_measured_says_nothing_of_the_files_as_they_are(project):
    committed(project, b"no network")
    run = project.run("--against=HEAD", "--benchmark-json=run.json", "-k", "test_latency")
    assert run.code == 10, run.text
    verdict, reason = judged(run)
    assert verdict == "INVALID"
    assert reason.startswith("BASE could not be measured")


def test_files_that_cannot_be_measured_where_the_commit_can_have_failed(project):
    onnx.save(refused_model(), str(committed(project, None)))
    run = project.run("--against=HEAD", "--benchmark-json=run.json", "-k", "test_latency")
    assert run.code == 1, run.text
    verdict, reason = judged(run)
    assert verdict == "FAILED"
    assert reason.startswith("HEAD could not be measured")
