"""Cases that cannot run are told with the reason, each reason once, by the suite and by the commands that compare."""

from __future__ import annotations

from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.report.outcomes import outcome_lines
from inferkit.report.table import unsupported_lines


def test_one_line_for_each_reason():
    told = [("a", "no GPU", "take one"), ("b", "no GPU", "take one"), ("c", "no INT8", "")]
    assert unsupported_lines(told) == ["UNSUPPORTED 2 cases (a to b): no GPU; take one", "UNSUPPORTED c: no INT8"]


def test_a_comparison_says_why_nothing_could_be_compared():
    outcome = Outcome("case", LATENCY, Verdict.UNSUPPORTED, reason="no \x1b[31mGPU", hint="take one")
    last = outcome_lines([outcome])[-1]
    assert last.startswith("UNSUPPORTED case: no ")
    assert last.endswith("GPU; take one")
    assert "\x1b" not in last
