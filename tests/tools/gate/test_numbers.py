"""A run's processes drawn anew, judged by their execution on the GPU."""

from __future__ import annotations

from tools import ROOT
from tools.gate.numbers import execution
from tools.gate.read import run_cases

RUN = ROOT / "docs" / "measured" / "h200-suite-rtx-1.6.json"


def test_the_execution_shows_what_the_wall_time_of_a_shared_machine_hides() -> None:
    cases = run_cases(RUN)
    levels = {name: case["log_execution"] for name, case in cases.items()}
    failed, found = execution(levels, {name: case["margin"] for name, case in cases.items()}, 120, 4)
    assert failed == 0
    large = {name: hits / tried for name, (hits, tried) in found.items() if name.startswith(("resnet50", "vgg16"))}
    assert len(large) == 6
    assert sum(large.values()) / 6 > 0.85
