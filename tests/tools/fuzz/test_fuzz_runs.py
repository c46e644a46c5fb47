"""However a fuzzing process ends, the input that ended it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.fuzz import ends_badly
from tools import ROOT
from tools.fuzz.__main__ import fuzz
from tools.fuzz.target import targets

pytest.importorskip("atheris", reason="atheris is not installed: pip install atheris")


@pytest.mark.parametrize("name, kind", [("raises", "crash-"), ("killed", "killed-")])
def test_the_input_that_ended_the_process_is_kept(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    _, found = fuzz(ends_badly.TARGETS[name], 10, tmp_path, [ends_badly.__file__])
    assert found, (tmp_path / "log").read_text()
    assert found[0].startswith(kind), (tmp_path / "log").read_text()
    assert (tmp_path / found[0]).read_bytes() == ends_badly.CULPRIT


@pytest.mark.slow
def test_a_target_is_fuzzed_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    row, found = fuzz(targets()["labels"], 1, tmp_path)
    assert found == [], (tmp_path / "log").read_text()
    executions, coverage, _ = (int(figure.replace(",", "")) for figure in row.split(" | "))
    assert executions > 2  # more than the examples
    assert coverage > 0
