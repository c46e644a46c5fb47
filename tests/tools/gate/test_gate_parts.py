"""The parts of `python -m tools.gate`, on kept measurements: what docs/gate-measured.md says of them."""

from __future__ import annotations

import pytest

from tools import ROOT
from tools.gate.__main__ import main

MEASURED = ROOT / "docs" / "measured"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(list(arguments))
    return capsys.readouterr().out


def test_logged_suites_are_judged_anew(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "replay", str(MEASURED / "h100-slowed-suites-card0.jsonl"))
    assert "'unchanged suites that failed': '0 of 1 (0.0 to 97.5 %)'" in text
    assert "'slowed cases found': '4 of 4'" in text


def test_more_replicates_in_the_baseline_find_more_of_the_redrawn_slowdowns(capsys: pytest.CaptureFixture[str]) -> None:
    logs = [str(MEASURED / f"h100-slowed-suites-card{card}.jsonl") for card in (0, 1)]
    lines = printed(capsys, "redraw", *logs, "--draws", "40", "--sizes", "3,6").splitlines()
    shares = [int(line.split(": ")[1].partition("%")[0]) for line in lines]
    assert shares[0] < shares[1]  # 82 and 100 % of 300 draws; the seed is fixed
    assert all("0 of 40 suites with a false alarm" in line for line in lines)


def test_a_run_takes_the_place_of_the_recordings(capsys: pytest.CaptureFixture[str]) -> None:
    run = str(MEASURED / "h200-quiet-suite.json")
    text = printed(capsys, "pipeline", "--run", run, "--stored", "3", "--suites", "8")
    assert "| h200-quiet-suite: any case of the suite | 0/8 = 0.0 % (0.0-36.9) |" in text
    assert "| h200-quiet-suite: vgg16-fp16-b64-tensorrt |  | 2/2 = 100.0 %" in text
