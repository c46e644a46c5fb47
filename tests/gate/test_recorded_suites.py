"""Real suites in which nothing changed, recorded on a machine that flips between two speeds: none may fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inferkit.gate.outcome import Verdict
from tools.gate.replay import replay

MEASURED = Path(__file__).resolve().parents[2] / "docs" / "measured"
RECORDED = MEASURED / "cpu-unchanged-suites.jsonl"


@pytest.fixture(scope="module")
def lines():
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


def replayed(folder, lines):
    path = folder / "suites.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return list(replay(path, 0.25))


def test_no_unchanged_suite_fails(tmp_path, lines):
    suites = replayed(tmp_path, lines)
    assert len(suites) == 60
    assert [outcome.line for suite in suites for outcome in suite.having(Verdict.REGRESSED)] == []


def test_nor_does_one_of_those_measured_after_the_rule_was_finished():
    suites = list(replay(MEASURED / "cpu-unchanged-suites-finished-rule.jsonl", 0.25))
    assert len(suites) == 54
    assert [outcome.line for suite in suites for outcome in suite.having(Verdict.REGRESSED)] == []


def test_without_the_reference_some_would(tmp_path, lines):
    """So the test above can fail: the machine did move, by more than the margin."""
    bare = [
        {**line, "log_medians": {k: v for k, v in line["log_medians"].items() if not k.startswith("reference-")}}
        for line in lines
    ]
    failing = [suite for suite in replayed(tmp_path, bare) if suite.having(Verdict.REGRESSED)]
    assert len(failing) >= 5


def test_a_case_that_really_became_three_times_as_slow_is_still_found(tmp_path, lines):
    """In the suites that were quiet, and in most of those in which the machine flipped without having moved."""
    case, slower = "fashion_vgg-fp32-b1-onnxruntime", 1.0986
    changed = [lines[0]]
    for line in lines[1:]:
        logs = dict(line["log_medians"])
        logs[case] = [value + slower for value in (*logs[case], *logs[case])][:6]
        changed.append({**line, "kind": "latency", "share": 2.0, "slowed": [case], "log_medians": logs})
    found = sum(bool(suite.having(Verdict.REGRESSED, slowed=True)) for suite in replayed(tmp_path, changed))
    assert found >= 48


@pytest.mark.parametrize("card", [0, 1])
def test_two_percent_injected_on_a_gpu_are_found_and_nothing_else_is(card):
    """Real slowdowns in the timed region; the reference varies by 1 % there, as it always does: ordinary scatter."""
    suites = list(replay(MEASURED / f"h100-slowed-suites-card{card}.jsonl", 0.02))
    assert [suite.kind for suite in suites] == ["", "latency"]
    for suite in suites:
        assert [outcome.line for outcome in suite.having(Verdict.REGRESSED)] == []
        assert [outcome.line for outcome in suite.having(Verdict.INVALID)] == []
        assert {outcome.case for outcome in suite.having(Verdict.REGRESSED, slowed=True)} == set(suite.slowed)
    assert len(suites[1].slowed) == 4
