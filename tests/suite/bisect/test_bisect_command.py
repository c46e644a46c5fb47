"""`inferkit bisect` on a user's repository: real networks and processes, a kill in the middle, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib import util
from pathlib import Path
from types import ModuleType

import onnx
import pytest

from inferkit.cli.main import main
from inferkit.suite.bisect.question import STATE_FILE
from tests.git_folder import git
from tools.gate.bisect_trials import row

ROOT = Path(__file__).resolve().parents[3]
MATRIX = """\
[suite]
reference = false

[[networks]]
name = "stripes"
model = "stripes.onnx"
batch_sizes = [1, 8]
accuracy = false

[backends.onnxruntime]
session = { threads = 1 }
"""
# The slow network takes three times as long, so a shared machine cannot hide it: what is tested is the search.
QUICK = ("--min-time", "0.02", "--accept-busy-host", "--case", "*-b1-*", "--margin", "30%")
SLOW, BROKEN = 5, 4  # of the commits 1 to 7 after the first


def make_files() -> ModuleType:
    """The example's script, which makes the network as it should be, and the same the long way."""
    spec = util.spec_from_file_location("make_files", ROOT / "examples" / "own_project" / "make_files.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight commits: the network of one is damaged, and the next makes it slower; the others change a note."""
    network = make_files().network
    folder = tmp_path_factory.mktemp("bisect") / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    for number in range(8):
        (folder / "note").write_text(str(number))
        (folder / "matrix.toml").write_text(MATRIX)
        if number == BROKEN:
            (folder / "stripes.onnx").write_bytes(b"broken")
        else:
            onnx.save(network(slow=number >= SLOW), str(folder / "stripes.onnx"))
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", f"change {number}")
    return folder


def commit(repository: Path, number: int) -> str:
    return git(repository, "rev-parse", f"HEAD~{7 - number}")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test's own for what is temporary."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # asks the variable again
    return folder


def left_behind(repository: Path, temporary: Path) -> list[str]:
    """Worktrees besides the repository itself, and their folders."""
    worktrees = git(repository, "worktree", "list").splitlines()[1:]
    return [*worktrees, *(path.name for path in temporary.glob("inferkit-*"))]


@pytest.mark.slow
def test_the_slow_commit_is_found_beside_one_that_does_not_build(
    repository: Path,
    temporary: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(repository)
    report = tmp_path / "report.json"
    # The broken commit stands right before the slow one: both are named.
    assert main(["bisect", "HEAD~7", "HEAD", *QUICK, "--json", str(report)]) == 1
    (search,) = json.loads(report.read_text())["searches"]
    assert search["found"] is None
    assert set(search["suspects"]) == {commit(repository, BROKEN), commit(repository, SLOW)}
    assert "damaged" in capsys.readouterr().out
    assert left_behind(repository, temporary) == []
    assert git(repository, "status", "--porcelain") == ""
    assert not (repository / ".git" / STATE_FILE).exists()


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_where_it_was_and_explains_the_commit(
    repository: Path,
    temporary: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    git(repository, "checkout", "-q", "-B", "mended", commit(repository, BROKEN - 1))
    for number in range(6):
        if number == 3:
            onnx.save(make_files().network(slow=True), str(repository / "stripes.onnx"))
        (repository / "note").write_text(f"mended {number}")
        git(repository, "commit", "-q", "-a", "-m", f"mended {number}")
    culprit = git(repository, "rev-parse", "HEAD~2")
    monkeypatch.chdir(repository)
    state = tmp_path / "state.json"
    command = [sys.executable, "-m", "inferkit.cli.main", "bisect", "HEAD~6", "HEAD", *QUICK, "--state", str(state)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=repository, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 240
    while not (state.exists() and json.loads(state.read_text())["search"]["steps"]):
        assert process.poll() is None, "it ended before it had tested a commit"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"go on with: inferkit bisect --resume --state {state}" in errors
    assert left_behind(repository, temporary) == []
    tested = json.loads(state.read_text())["search"]["steps"]

    report = tmp_path / "report.json"
    assert main(["bisect", "--resume", "--state", str(state), "--accept-busy-host", "--json", str(report)]) == 1
    (search,) = json.loads(report.read_text())["searches"]
    assert search["found"]["commit"] == culprit
    assert search["search"]["steps"][: len(tested)] == tested
    assert search["confirmation"]["verdict"] == "REGRESSED"
    assert search["layers"]["changes"][0]["layers"] == ["same"]  # the convolution that hands on what it gets
    text = capsys.readouterr().out
    assert "resumed: " in text
    assert f"commit {culprit}" in text
    assert f"inferkit ab {commit_before(repository, culprit)[:10]} {culprit[:10]} --model stripes" in text
    assert not state.exists()
    assert left_behind(repository, temporary) == []


def commit_before(repository: Path, commit: str) -> str:
    return git(repository, "rev-parse", f"{commit}^")


@pytest.mark.slow
def test_with_all_the_search_goes_on_before_and_after_the_commit_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, ids = tmp_path / "repository", []
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "matrix.toml").write_text(MATRIX)
    for number, layers in enumerate((2, 2, 8, 8, 32, 32)):  # twice four times as slow: no machine hides it
        onnx.save(row(layers, False, number), str(folder / "stripes.onnx"))
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", f"{layers} layers")
        ids.append(git(folder, "rev-parse", "HEAD"))
    monkeypatch.chdir(folder)
    report = tmp_path / "report.json"
    assert main(["bisect", ids[0], ids[-1], *QUICK, "--all", "--json", str(report)]) == 1
    searches = json.loads(report.read_text())["searches"]
    assert {search["found"]["commit"] for search in searches if search["found"]} == {ids[2], ids[4]}
    assert {search["exit_code"] for search in searches} <= {0, 1}


@pytest.mark.slow
def test_where_nothing_became_slower_it_says_so_and_exits_0(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    wide = (*QUICK[:-1], "900%")  # a busy machine cannot reach it
    assert main(["bisect", commit(repository, 0), commit(repository, 2), *wide]) == 0
    assert "not worse than GOOD by the margin" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["HEAD~1"], "name two commits"),
        (["HEAD~1", "nowhere"], "'nowhere' is neither"),
        (["HEAD", "HEAD"], "the same commit"),
        (["HEAD", "HEAD~1"], "no ancestor of BAD"),
        (["HEAD", "HEAD~1"], "the other way round: inferkit bisect "),
        (["HEAD~1", "HEAD"], "a search is for one case; name one of stripes-fp32-b1-onnxruntime"),
        (["HEAD~1", "HEAD", "--case", "lenet*"], "no case of HEAD~1 matches --case lenet*"),
        (["HEAD~1", "HEAD", "--margin", "0"], "a margin is a share above 0"),
        (["HEAD~1", "HEAD", "--min-time", "0"], "--min-time"),
        (["--resume", "--state", "none.json"], "no search to resume"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_measured(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(repository)
    assert main(["bisect", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_where_bad_does_not_have_the_case_there_is_nothing_to_compare(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    git(repository, "checkout", "-q", "-B", "renamed")
    (repository / "matrix.toml").write_text(MATRIX.replace('name = "stripes"', 'name = "other"'))
    git(repository, "commit", "-q", "-a", "-m", "renamed")
    assert main(["bisect", "HEAD~1", "HEAD", *QUICK]) == 12
    assert "its matrix does not declare stripes-fp32-b1-onnxruntime" in capsys.readouterr().out
    git(repository, "checkout", "-q", "-")


def test_a_search_of_other_commits_is_not_resumed(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from inferkit.suite.bisect.question import Question, State
    from inferkit.suite.bisect.search import Search

    monkeypatch.chdir(repository)
    good, bad = commit(repository, 1), commit(repository, 3)
    state = State(Question(good, bad, "case", (), "latency", 0.02, "m"), Search(good, bad, 2))
    state.write(tmp_path / "state.json")
    assert main(["bisect", "HEAD~1", "HEAD", "--resume", "--state", str(tmp_path / "state.json")]) == 2
    assert f"the search to resume is of {good[:10]} and {bad[:10]}" in capsys.readouterr().err
    options = ["--resume", "--margin", "1%", "--min-time", "2", "--state", str(tmp_path / "state.json")]
    assert main(["bisect", *options]) == 2
    assert "leave out --margin, --min-time" in capsys.readouterr().err
