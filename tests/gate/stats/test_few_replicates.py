"""With one replicate a side nobody knows how much processes differ: the gate says so, and regresses nothing for it."""

import math

import pytest

from inferkit.gate.judging import default_rule
from inferkit.gate.outcome import Verdict
from inferkit.gate.rules.rule import LogSamples


@pytest.mark.parametrize("measuring", [True, False])
@pytest.mark.parametrize("change", [0.0, 0.08, -0.08])
def test_one_replicate_each_is_said_and_decides_little(measuring, change):
    suite = [
        LogSamples(f"case-{number}", (math.log(0.01),), (math.log(0.01 * (1 + change)),), 0.05) for number in range(5)
    ]
    for outcome in default_rule(measuring).judge(suite):
        assert outcome.verdict in (Verdict.INCONCLUSIVE, Verdict.PASS)
        assert "one replicate each of base and head" in outcome.reason
