"""An outcome with the layers that explain it: for changed latencies of which both sides have their layer tables."""

from __future__ import annotations

from dataclasses import replace

from inferkit.gate.layer_diff import LayerDiff, diff_layers
from inferkit.gate.outcome import LATENCY, Outcome
from inferkit.gate.verdict import Verdict
from inferkit.measure.layer_table import LayerTable

EXPLAINED = (Verdict.REGRESSED, Verdict.IMPROVED)


def wants_explaining(outcome: Outcome) -> bool:
    """Whether there is a change of the latency to explain."""
    changed = outcome.baseline is not None and outcome.now is not None
    return outcome.metric == LATENCY and outcome.verdict in EXPLAINED and changed


def explain(outcome: Outcome, before: LayerTable, now: LayerTable) -> tuple[Outcome, LayerDiff | None]:
    """The outcome with the layers added to its reason, and the difference; as it was, and None, without tables."""
    if not wants_explaining(outcome) or not before or not now:
        return outcome, None
    assert outcome.baseline is not None
    assert outcome.now is not None
    diff = diff_layers(before, now)
    told = diff.summary(outcome.baseline, outcome.now)
    reason = "; ".join(part for part in (outcome.reason, told) if part)
    return replace(outcome, reason=reason), diff
