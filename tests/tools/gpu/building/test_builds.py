"""The GPU part `builds`, run whole on a backend that picks its kernels by chance."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from tests.backends.distributions import distribution
from tools.gpu import common
from tools.gpu.building import builds
from tools.gpu.building.builds import ANEW, BESIDE_CPU, CACHED, TOGETHER, differing, summary
from tools.gpu.common import Results

STAND_IN = Path(__file__).parents[3] / "backends" / "timed_backend.py"
ROOT = Path(__file__).parents[4]
CASE = "lenet-fp32-b4"


def runs(*seconds: float, kernel: str = "a") -> list[dict[str, object]]:
    return [{"compute": each, "quartiles": 0.0, "kernels": {"conv": kernel, "fc": "b"}} for each in seconds]


def test_the_table_tells_builds_from_processes_and_compares_with_engines_built_anew() -> None:
    measured = {label: runs(1.0, 1.0) for label in (CACHED, *TOGETHER, BESIDE_CPU)}
    measured |= {ANEW[0]: runs(1.0, 1.0), ANEW[1]: runs(1.1, 1.1, kernel="c"), ANEW[2]: runs(1.0, 1.0)}
    built = {label: {"build_seconds": 10.0} for label in measured}
    built |= {CACHED: {"build_seconds": 2.0}, TOGETHER[1]: {"build_seconds": 16.0}}
    table = summary(built, measured)
    assert table["between_builds"] == pytest.approx(math.log(1.1) / math.sqrt(3))
    assert table["within_a_build"] == pytest.approx(0.0, abs=1e-9)
    assert table["execution"][CACHED] == pytest.approx(1.1 ** (-1 / 3))
    assert (table["kernels"][ANEW[1]], table["kernels"][CACHED], table["layers"]) == (1, 0, 2)
    assert (table["seconds_anew"], table["seconds_with_timings"]) == (10.0, 2.0)
    assert table["together_against_in_turn"] == pytest.approx(20 / 16)


def test_a_layer_that_was_fused_otherwise_differs() -> None:
    assert differing({"conv": "a", "add": "b"}, {"conv": "a", "conv + add": "a"}) == 1


@pytest.mark.slow  # some thirty processes
def test_every_build_is_measured_and_none_is_made_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed = distribution(tmp_path / "site", "timed", {"timed": "timed:BACKEND"}, timed=STAND_IN.read_text())
    path = os.pathsep.join([str(installed), str(ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("INFERKIT_SUITE_DIR", str(tmp_path / "work"))
    monkeypatch.setattr(builds, "CASES", (CASE,))
    failures = len(common.FAILURES)
    builds.run(Results(tmp_path / "results.json"), backend="timed")
    assert common.FAILURES[failures:] == []
    figures = Results(tmp_path / "results.json").parts["builds"][CASE]
    assert set(figures["built"]) == set(figures["measured"]) == {*ANEW, CACHED, *TOGETHER, BESIDE_CPU}
    assert {len(runs) for runs in figures["measured"].values()} == {3}
    # The engine with the first one's timings has its kernel, and so its time within what processes differ (0.1 %).
    assert figures["summary"]["kernels"][CACHED] == 0
    first = figures["summary"]["execution"][ANEW[0]]
    assert figures["summary"]["execution"][CACHED] == pytest.approx(first, rel=2e-3)
    assert "between builds" in capsys.readouterr().out
    builds.run(Results(tmp_path / "results.json"), backend="timed")
    assert Results(tmp_path / "results.json").parts["builds"][CASE]["built"] == figures["built"]
