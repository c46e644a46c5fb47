"""The commits that made an engine larger and less accurate are found with one value of each commit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from inferkit.cli.main import main
from tests.git_folder import git
from tests.suite.tiny_project import CLASSES, MATRIX, tiny_model, write_files

LARGER, LESS_ACCURATE, COMMITS = 2, 4, 5


def network(number: int) -> onnx.ModelProto:
    """Of the commit of this number: at first as it should be, later with a layer that changes nothing, then wrong."""
    model = tiny_model()
    if number >= LARGER:
        unit = numpy_helper.from_array(np.eye(CLASSES, dtype=np.float32), "unit")
        model.graph.initializer.append(unit)
        model.graph.node.insert(2, helper.make_node("MatMul", ["scores", "unit"], ["again"]))
        model.graph.node[3].input[0] = "again"
    if number >= LESS_ACCURATE:  # two classes for each other
        weights = numpy_helper.to_array(model.graph.initializer[0])[:, [1, 0, 2, 3]]
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights.copy(), "weights"))
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exact") / "repository"
    folder.mkdir()
    write_files(folder)
    (folder / "matrix.toml").write_text(MATRIX)
    git(folder, "init", "-q")
    for number in range(COMMITS + 1):
        onnx.save(network(number), str(folder / "tiny.onnx"))
        (folder / "note").write_text(str(number))
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", f"change {number}")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("metric, culprit", [("engine-size", LARGER), ("top-1", LESS_ACCURATE)])
def test_the_commit_is_found(
    repository: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    metric: str,
    culprit: int,
) -> None:
    monkeypatch.chdir(repository)
    report = tmp_path / "report.json"
    arguments = [
        f"HEAD~{COMMITS}",
        "HEAD",
        "--metric",
        metric,
        "--batch-size",
        "1",
        "--margin",
        "0.1%",
        "--accept-busy-host",
    ]
    assert main(["bisect", *arguments, "--json", str(report)]) == 1
    (search,) = json.loads(report.read_text())["searches"]
    found = git(repository, "rev-parse", f"HEAD~{COMMITS - culprit}")
    assert search["found"]["commit"] == found
    assert search["confirmation"]["verdict"] == "REGRESSED"
    assert search["confirmation"]["change"] == pytest.approx(search["search"]["verification"]["outcome"]["change"])
    assert f"git show {found[:10]}" in capsys.readouterr().out


def test_an_engine_that_did_not_grow_is_no_regression(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    arguments = [f"HEAD~{COMMITS}", f"HEAD~{COMMITS - 1}", "--metric", "engine-size", "--batch-size", "1"]
    assert main(["bisect", *arguments, "--accept-busy-host"]) == 0
    assert "+0.0%: not worse than GOOD by the margin" in capsys.readouterr().out
