"""A run of nothing replaces no file of one that measured; a run of a part says so, whatever narrowed it."""

from __future__ import annotations

import json

import pytest

from inferkit.cli.main import main
from tests.suite.tiny_project import TESTS

FILES = ("run.json", "run.traces.npz", "verdicts.json", "report.html")
QUICK = ("--replicates=1", "--benchmark-json=run.json")
FAILING = "\ndef test_own():\n    assert False\n"
OPTIONS = ("--benchmark-json=run.json", "--verdict-json=verdicts.json", "--report=report.html", "--no-history")


@pytest.mark.parametrize("selection", [("--collect-only",), ("-k", "nothing_is_called_so")])
def test_files_of_an_earlier_run_stay_byte_for_byte(project, selection):
    project.run(*OPTIONS, "--replicates=1", "--batch-size=1", "--precision=fp32")
    earlier = {name: (project.folder / name).read_bytes() for name in FILES}
    run = project.run(*OPTIONS, *selection)
    assert {name: (project.folder / name).read_bytes() for name in FILES} == earlier
    if "--collect-only" not in selection:
        assert "run.json is not written: nothing was measured" in run.text
        assert "verdicts.json is not written: nothing was measured" in run.text


def test_where_there_was_no_file_none_is_made(project):
    project.run(*OPTIONS, "-k", "nothing_is_called_so")
    assert not [name for name in FILES if (project.folder / name).exists()]


@pytest.mark.parametrize(
    "selection",
    [
        ("-k", "b1"),
        ("-m", "not slow"),
        ("--deselect", "bench/test_latency.py::test_latency[tiny-fp32-b4-onnxruntime]"),
        ("--batch-size=1",),
        ("--ignore=bench/test_accuracy.py",),
        ("-x",),
    ],
)
def test_every_kind_of_selection_narrows(project, selection):
    marked = "import pytest\npytestmark = pytest.mark.slow\n"
    (project.folder / "bench" / "test_accuracy.py").write_text(marked + TESTS["test_accuracy.py"])
    if selection == ("-x",):
        (project.folder / "bench" / "test_accuracy.py").write_text(TESTS["test_accuracy.py"] + FAILING)
    assert project.run(*QUICK, *selection).json["inferkit"]["narrowed"] is True


def test_node_ids_narrow(project):
    command = project.command(*QUICK)
    command[command.index("bench")] = "bench/test_latency.py::test_latency[tiny-fp32-b1-onnxruntime]"
    project.command = lambda *args: command
    assert project.run().json["inferkit"]["narrowed"] is True


def test_a_whole_run_is_not_narrowed_and_a_part_of_it_misses_nothing(project, monkeypatch, capsys):
    """What only a selection left out is not MISSING, whichever of the two runs was narrowed."""
    (project.folder / "bench" / "test_other.py").write_text("def test_nothing_of_inferkit():\n    pass\n")
    assert project.run(*QUICK).json["inferkit"]["narrowed"] is False
    (project.folder / "run.json").rename(project.folder / "whole.json")
    project.run(*QUICK, "-k", "b1")
    monkeypatch.chdir(project.folder)
    main(["compare", "whole.json", "run.json", "--margin", "1000%"])
    text = capsys.readouterr().out
    assert "MISSING" not in text
    assert "2 cases of base are not compared: run.json was made of a selection of cases" in text
    main(["compare", "run.json", "whole.json", "--margin", "1000%", "--json"])
    outcomes = json.loads(capsys.readouterr().out)["outcomes"]
    assert {each["reason"] for each in outcomes if each["verdict"] == "NO_BASELINE"} == {"base was not asked for it"}
