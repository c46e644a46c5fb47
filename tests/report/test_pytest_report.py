"""`pytest --report` and `--github`: written at the end of a real run, with what was measured in it."""

import pytest

from inferkit.cli.main import main
from tests.report.replayed import grow
from tests.suite.tiny_project import MATRIX, make_project, write_files


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    files = tmp_path_factory.mktemp("tiny")
    write_files(files)
    return make_project(tmp_path_factory.mktemp("report") / "project", files)


def test_a_run_writes_its_report_and_its_summary(project, monkeypatch):
    summary = project.folder / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    run = project.run("--report=out.html", "--github", "--batch-size=1", "--benchmark-json=run.json")
    assert run.code == 0, run.text
    assert "written: out.html" in run.text
    page = (project.folder / "out.html").read_text(encoding="utf-8")
    assert "tiny-fp32-b1-onnxruntime" in page
    assert "Where the time of a batch goes" in page
    assert "by precision" not in page  # of one precision and one batch size: a dot each
    assert "over batch size" not in page
    assert summary.read_text(encoding="utf-8").startswith("### No regression in 1 case")


def test_what_fails_under_strict_is_an_error_on_the_job(tmp_path_factory, monkeypatch):
    """120 images cannot show that INT8 loses less than 0.5 points: Tango's bound is INCONCLUSIVE."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    files = tmp_path_factory.mktemp("tiny")
    write_files(files)
    project = make_project(tmp_path_factory.mktemp("strict") / "project", files)
    project.matrix(MATRIX + 'precisions = ["int8"]\n')
    undecided = "title=INCONCLUSIVE tiny-int8-onnxruntime::"
    run = project.run("-k", "accuracy", "--github", "--no-history")
    assert (run.code, f"::warning {undecided}" in run.text) == (0, True), run.text
    run = project.run("-k", "accuracy", "--github", "--no-history", "--inferkit-strict")
    assert (run.code, f"::error {undecided}" in run.text) == (1, True), run.text


def test_200_cases_of_a_real_run_are_less_than_5_mb(project, tmp_path):
    """The run of the test before, replayed: cases with five replicates, telemetry, layers and all other metrics."""
    content = grow(project.folder / "run.json", tmp_path / "many.json", 200)
    assert len(content["inferkit"]["cases"]) + len(content["inferkit"]["accuracy"]) == 200
    out = tmp_path / "out.html"
    assert main(["report", str(tmp_path / "many.json"), "-o", str(out), "--no-history"]) == 0
    text = out.read_text(encoding="utf-8")
    assert text.count('<details class="box case"') == 200
    assert text.count("<figcaption>Over time</figcaption>") == 160
    assert out.stat().st_size < 5e6


def test_outside_of_github_it_says_that_there_is_no_summary(project, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    run = project.run("--inferkit-github", "--batch-size=1", "--benchmark-disable")
    assert "GITHUB_STEP_SUMMARY is not set" in run.text


def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_measured(project):
    (project.folder / "file").write_text("")
    run = project.run("--report=file/out.html")
    assert run.code == 4
    assert "--report file/out.html cannot be written there" in run.text
    assert "replicate" not in run.text
