"""Change points: found by Otava, with the commits that they lie between; a drift of the machine is told as such."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from inferkit.errors import UsageError
from inferkit.gate.history.changes import change_points
from inferkit.gate.history.series import HistorySeries
from inferkit.gate.metrics import LATENCY, REFERENCE
from tests.gate.history.test_ratchet import runs
from tests.gate.run_files import point


def stepped(at: int, step: float, count: int = 30, metric: str = LATENCY, spoiled: int | None = None) -> HistorySeries:
    """A series with 0.5 % noise that changes by `step` at a run."""
    chance = np.random.default_rng(at)
    points = []
    for number, info in enumerate(runs(count)):
        seconds = 0.002 * np.exp(chance.normal(0, 0.005)) * (1 + step * (number >= at))
        verdict = "INVALID" if number == spoiled else "PASS"
        value = seconds * (10 if number == spoiled else 1)
        points.append(point(info, "a", metric, (float(value),), verdict))
    return HistorySeries("mine", "a", metric, "m", tuple(points))


def test_without_otava_a_hint_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "otava.analysis", None)
    with pytest.raises(UsageError, match="pip install apache-otava"):
        change_points(stepped(20, 0.05))


@pytest.fixture
def otava():
    pytest.importorskip("otava.analysis", reason="needs the extra `history` (apache-otava)")


@pytest.mark.usefixtures("otava")
@pytest.mark.parametrize("step", [0.03, -0.1])
def test_a_step_is_found_with_its_commits(step):
    (found,) = change_points(stepped(20, step))
    assert found.commits == "c019..c020"
    assert found.change == pytest.approx(step, abs=0.01)
    assert "in c019..c020 (2026-10-28 00:00 to 2026-10-31 00:00)" in found.line
    assert not found.machine


@pytest.mark.usefixtures("otava")
def test_where_the_reference_network_moved_too_the_machine_did():
    (found,) = change_points(stepped(20, 0.05), [stepped(20, 0.05, metric=REFERENCE)])
    assert found.machine
    assert found.line.endswith("the reference network moved there too: the machine did")
    (elsewhere,) = change_points(stepped(20, 0.05), [stepped(9, 0.05, metric=REFERENCE)])
    assert not elsewhere.machine


@pytest.mark.usefixtures("otava")
def test_noise_an_invalid_run_and_too_few_runs_are_no_change():
    assert change_points(stepped(99, 0.0)) == []
    assert change_points(stepped(99, 0.0, spoiled=12)) == []
    assert change_points(stepped(1, 0.5, count=3)) == []
