"""`inferkit ab` between commits, files and settings of a user's project: real processes, nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from inferkit.cli.main import main
from inferkit.suite.interleaved.run import disturbances
from tests.git_folder import git
from tests.suite.tiny_project import MATRIX, Project, tiny_model, write_files

QUICK = ("--min-time", "0.01", "--batch-size", "1", "--seed", "1")


def slow_model():
    """The tiny network, after ten products with a large unit matrix: the same results, much later."""
    model = tiny_model()
    unit = np.eye(256, dtype=np.float32)
    graph = model.graph
    nodes = [onnx.helper.make_node("MatMul", ["unit", "unit0"], ["u0"])]
    nodes += [onnx.helper.make_node("MatMul", [f"u{i}", "unit0"], [f"u{i + 1}"]) for i in range(10)]
    # The products depend on the input, so that nothing can compute them ahead.
    nodes.insert(0, onnx.helper.make_node("ReduceMean", ["data"], ["mean"], keepdims=0))
    nodes.insert(1, onnx.helper.make_node("Mul", ["unit0", "mean"], ["unit"]))
    nodes.append(onnx.helper.make_node("ReduceMean", ["u10"], ["least"], keepdims=0))
    nodes.append(onnx.helper.make_node("Mul", ["least", "zero"], ["nothing"]))
    nodes.append(onnx.helper.make_node("Add", ["prob", "nothing"], ["late"]))
    graph.initializer.extend([numpy_helper.from_array(unit, "unit0"), numpy_helper.from_array(np.float32(0), "zero")])
    graph.node.extend(nodes)
    graph.output[0].name = "late"
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Two commits: in the second the network is much slower."""
    folder = tmp_path_factory.mktemp("ab") / "repository"
    folder.mkdir()
    write_files(folder)
    (folder / "matrix.toml").write_text(MATRIX)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "fast")
    onnx.save(slow_model(), str(folder / "tiny.onnx"))
    git(folder, "commit", "-q", "-a", "-m", "slow")
    return folder


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path_factory, monkeypatch):
    """Other runs beside this one have worktrees of their own in the common one."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    monkeypatch.setattr(tempfile, "tempdir", folder)
    monkeypatch.setenv("TMPDIR", folder)


def temporary():
    return {path.name for path in Path(tempfile.gettempdir()).glob("inferkit-ab-*")}


def test_a_commit_that_made_the_network_slower_is_found_and_no_worktree_stays(repository, capsys, monkeypatch):
    monkeypatch.chdir(repository)
    folders = temporary()
    assert main(["ab", "HEAD~1", "HEAD", *QUICK, "--blocks", "3", "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    outcome, *others = printed["outcomes"]
    assert {"latency"} < {each["metric"] for each in (outcome, *others)}
    assert outcome["metric"] == "latency"
    assert (outcome["verdict"], outcome["head_replicates"]) == ("REGRESSED", 3)
    assert outcome["change"] > 1
    assert "layers: u" in outcome["reason"]  # one of the ten products, u1 to u10
    assert printed["layers"][outcome["case"]]["changes"][0]["what"] == "new"
    assert printed["seed"] == 1
    assert len(printed["log_medians"][outcome["case"]]["head"]) == 3
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert temporary() == folders
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.slow
def test_a_real_delay_in_the_head_is_found_between_equal_files(tiny_files, capsys):
    model = str(tiny_files / "tiny.onnx")
    # Processes on a busy machine differ by ten times in how long so short a wait lasts: three blocks may not decide.
    arguments = ["ab", model, model, "--blocks", "4,8", "--inject", "latency=20", "--min-time", "0.01"]
    assert main(arguments) == 1
    shown = capsys.readouterr().out
    assert "tiny-fp32-b1-onnxruntime latency: REGRESSED" in shown
    assert "seed" in shown


def test_settings_are_base_and_head_and_a_head_that_fails_is_failed(repository, capsys, monkeypatch):
    monkeypatch.chdir(repository)
    code = main(["ab", "--base-set", "threads=1", "--head-set", "threads=0", *QUICK, "--blocks", "2", "--json"])
    (outcome,) = json.loads(capsys.readouterr().out)["outcomes"]
    assert (code, outcome["verdict"]) == (10, "FAILED")
    assert "HEAD could not be measured" in outcome["reason"]


def test_a_case_of_one_commit_only_is_missing_and_nothing_was_compared(repository, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(repository)
    old = MATRIX.replace('name = "tiny"', 'name = "former"')
    git(repository, "checkout", "-q", "-b", "renamed", "HEAD~1")
    (repository / "matrix.toml").write_text(old)
    git(repository, "commit", "-q", "-a", "-m", "another name")
    git(repository, "checkout", "-q", "-")
    assert main(["ab", "renamed", "HEAD", *QUICK, "--json"]) == 12
    verdicts = {o["case"]: o["verdict"] for o in json.loads(capsys.readouterr().out)["outcomes"]}
    assert verdicts["tiny-fp32-b1-onnxruntime"] == "NO_BASELINE"
    assert verdicts["former-fp32-b1-onnxruntime"] == "MISSING"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["HEAD"], "name BASE and HEAD"),
        (["HEAD", "no-such-ref"], "neither a file nor a commit"),
        (["HEAD", "--upload-pack=x"], "unrecognized"),
        ([], "base and head are the same"),
        (["HEAD~1", "HEAD", "--blocks", "4,2"], "increasing"),
        (["HEAD~1", "HEAD", "--model", "tini"], "did you mean"),
        (["a.onnx", "b.onnx"], "no such file"),
        (["tiny.onnx", "HEAD"], "one is a file"),
        (["HEAD~1", "HEAD", "--inject", "speed=1"], "cannot be injected"),
        (["HEAD~1", "HEAD", "--head-python", "/nowhere/python"], "cannot be run"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error_and_leaves_nothing(repository, arguments, said, capsys, monkeypatch):
    monkeypatch.chdir(repository)
    folders = temporary()
    try:
        code = main(["ab", *arguments])
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert said in capsys.readouterr().err
    assert temporary() == folders


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_neither_worktree_nor_folder(repository, tmp_path, sign):
    command = [sys.executable, "-m", "inferkit.cli.main", "ab", "HEAD~1", "HEAD", *QUICK]
    environment = {**Project(repository).environment(), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=repository, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:  # until something is being measured
            if "block 1" in line:
                process.send_signal(sign)
                break
        process.stderr.read()
    assert process.returncode == 130
    assert os.listdir(tmp_path) == []
    assert len(git(repository, "worktree", "list").splitlines()) == 1


class Seen:
    """What a replicate says of its machine."""

    def __init__(self, mhz=None, reasons=(), invalid=()):
        self.gpu = None if mhz is None else {"sm_mhz_mean": mhz, "reasons": list(reasons)}
        self.invalid = tuple(invalid)


def test_clocks_that_differ_between_base_and_head_spoil_a_block_unless_power_was_the_limit():
    assert disturbances(Seen(1980), Seen(1975)) == ()
    assert disturbances(Seen(1980), Seen(1755)) == ("the GPU ran at 1980 MHz for BASE and 1755 MHz for HEAD",)
    assert disturbances(Seen(1980), Seen(1755, ["power_cap"])) == ()
    assert disturbances(Seen(), Seen(invalid=["throttled"])) == ("throttled",)
