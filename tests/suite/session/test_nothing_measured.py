"""A run that measured nothing replaces no file of one that did."""

from __future__ import annotations

import pytest

FILES = ("run.json", "run.traces.npz", "verdicts.json", "report.html")
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
