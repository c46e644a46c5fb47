"""Two folders with a matrix each, whose cases share a backend and so a baseline, in one run."""

import json

import pytest

from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.run_file import read_run
from inferkit.gate.promotion import plan_promotion
from tests.suite.tiny_project import MATRIX, TESTS, make_project, store_baseline

ONE, TWO, GONE = (f"{name}-fp32-b1-onnxruntime" for name in ("one", "two", "former"))


@pytest.fixture
def folders(tmp_path, tiny_files):
    """bench/one and bench/two with a network each, over a baseline that has both and a third."""
    project = make_project(tmp_path / "project", tiny_files)
    bench = project.folder / "bench"
    for name in TESTS:
        (bench / name).unlink()
    for name in ("one", "two"):
        folder = bench / name
        folder.mkdir()
        matrix = MATRIX.replace('"tiny"', f'"{name}"').replace("tiny.onnx", "../tiny.onnx").replace("[1, 4]", "[1]")
        (folder / "matrix.toml").write_text(matrix.replace('dataset = "images.npz"\n', "").replace("top1 = 95.0\n", ""))
        (folder / f"test_{name}.py").write_text(TESTS["test_latency.py"])
    store_baseline(project.folder / "baselines", {case: [0.0] for case in (ONE, TWO, GONE)})
    return project


def judged(run):
    """The verdict of each test, by its folder's name and its case."""
    tests = json.loads((run.folder / "verdicts.json").read_text())["tests"]
    return {(test["test"].split("/")[1], test["case"]): test["verdict"] for test in tests}


def test_missing_is_what_no_matrix_of_the_run_declares_and_is_told_once(folders):
    run = folders.run("--replicates=1", "--verdict-json=verdicts.json")
    assert judged(run) == {("one", ONE): "IMPROVED", ("two", TWO): "IMPROVED", ("one", GONE): "MISSING"}
    assert run.code == 1


def test_promoting_keeps_what_any_matrix_of_the_run_declares_although_it_was_not_measured(folders):
    run = folders.run("--replicates=1", "-k", ONE, "--benchmark-json=run.json", "--verdict-json=verdicts.json")
    assert judged(run) == {("one", ONE): "IMPROVED"}
    store = BaselineStore(folders.folder / "baselines")
    (promotion,) = plan_promotion(read_run(folders.folder / "run.json"), store, accept_busy_host=True)
    assert set(promotion.head.cases) == {ONE, TWO}
    assert (promotion.kept, promotion.removed) == ((TWO,), (GONE,))


def test_one_folder_alone_misses_the_others_cases_and_says_what_to_run_with_it(folders):
    run = folders.run("--ignore=bench/two", "--replicates=1", "--verdict-json=verdicts.json")
    assert judged(run) == {("one", ONE): "IMPROVED", ("one", TWO): "MISSING", ("one", GONE): "MISSING"}
    assert "run the tests of the matrix that does with these" in run.text
