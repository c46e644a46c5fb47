"""Does head answer as base did: what an engine computed from the same inputs, held against what the baseline kept.

An answer may change while the accuracy stays the same, so this is judged by itself: identical to the bit, within the
rounding of the precision, or changed. By default it is shown and fails nothing; the matrix may ask for more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from inferkit.backends.agreement import relative_difference
from inferkit.gate.metrics import OUTPUTS, SAME, SHOW
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.run import CaseRun
from inferkit.measure.latency.outputs import KeptOutput, KeptOutputs

CHANGED = "outputs changed"
IDENTICAL = "identical to the bit"

# What another order of sums, another tactic or another release moves, as a norm: some twenty units of rounding of the
# precision; TF32 rounds as FP16 does, INT8 to 1/127 of a tensor's range, of which many values are small parts.
ROUNDING = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2, "int8": 5e-2, "fp8": 1e-1}


def judge_outputs(pairs: Sequence[tuple[CaseRun, CaseRun]]) -> list[Outcome]:
    """The outcomes of cases (base, head) of which both kept outputs, or of which the matrix asks for more."""
    outcomes = [_judged(base, head) for base, head in pairs]
    return [outcome for outcome in outcomes if outcome is not None]


def is_changed(outcome: Outcome) -> bool:
    """Whether it says that outputs changed by more than rounding, whatever the verdict."""
    return outcome.metric == OUTPUTS and outcome.reason.startswith(CHANGED)


def _judged(base: CaseRun, head: CaseRun) -> Outcome | None:
    if head.outputs is None:
        return None
    is_asked = head.outputs_rule != SHOW
    if base.outputs is None:
        reason, hint = "base kept no outputs", "promote a run, which stores them with the baseline"
        return Outcome(head.case, OUTPUTS, Verdict.NO_BASELINE, reason=reason, hint=hint) if is_asked else None
    if base.outputs.inputs != head.outputs.inputs:
        reason, hint = "base and head computed on other inputs", "promote a run of the inputs that there are now"
        return Outcome(head.case, OUTPUTS, Verdict.INCONCLUSIVE, reason=reason, hint=hint) if is_asked else None
    rounding = ROUNDING.get(head.outputs.precision, ROUNDING["fp32"])
    change, reason = _difference(base.outputs, head.outputs, rounding)
    margin = 0.0 if head.outputs_rule == SAME else rounding
    verdict = Verdict.REGRESSED if is_asked and change > margin else Verdict.PASS
    shown = change if math.isfinite(change) else None
    return Outcome(head.case, OUTPUTS, verdict, change=shown, margin=margin, reason=reason)


def _difference(base: KeptOutputs, head: KeptOutputs, rounding: float) -> tuple[float, str]:
    """The largest relative difference of an output, infinite for other outputs, and what it is in words."""
    if base.outputs.keys() != head.outputs.keys():
        return math.inf, f"{CHANGED}: base has {', '.join(base.outputs)}, head has {', '.join(head.outputs)}"
    differing = {name: each for name, each in head.outputs.items() if not _equal(base.outputs[name], each)}
    if not differing:
        return 0.0, IDENTICAL
    for name, output in differing.items():
        stored = base.outputs[name]
        if (stored.shape, stored.type) != (output.shape, output.type):
            kinds = (f"{each.type} {list(each.shape)}" for each in (stored, output))
            return math.inf, f"{CHANGED}: {name} is {' in base, '.join(kinds)} in head"
    changes = {name: relative_difference(each.sample, base.outputs[name].sample) for name, each in differing.items()}
    name = max(changes, key=changes.__getitem__)
    # Outputs may differ in values alone that are not kept: that is no agreement to the bit either.
    change = max(changes[name], float(np.finfo(np.float32).tiny))
    reason = _in_words(name, base.outputs[name], head.outputs[name])
    if change > rounding:
        return change, f"{CHANGED}: {reason}, {change:.2g} of its norm; rounding of {head.precision}: {rounding:g}"
    return change, f"within the rounding of {head.precision}: {reason}"


def _equal(base: KeptOutput, head: KeptOutput) -> bool:
    return (base.shape, base.type, base.sha256) == (head.shape, head.type, head.sha256)


def _in_words(name: str, base: KeptOutput, head: KeptOutput) -> str:
    first, second = base.sample.astype(np.float64), head.sample.astype(np.float64)
    if not np.array_equal(np.isfinite(first), np.isfinite(second)):
        return f"{name} is not finite at other places"
    finite = np.isfinite(first)
    if not finite.any():
        return f"{name} has other values that are not finite"
    difference, largest = float(np.abs(second - first)[finite].max()), float(np.abs(first[finite]).max())
    return f"max difference of {name} {difference:.2g} of {largest:.2g}"
