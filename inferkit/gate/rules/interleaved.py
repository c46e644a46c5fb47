"""Interleaved A/B, the part without measurements: in which order the sides run, and what their blocks say.

A block is one fresh process of each side, run one right after the other; what drifts between blocks cancels. Cases are
looked at after 4, 8, 12 and 20 blocks: most pass at the first look, and only the undecided are measured further.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.moderated import outcome_of
from inferkit.gate.stats.effect import Evidence, paired
from inferkit.gate.stats.judge import Judgement
from inferkit.gate.stats.looks import LookPlan
from inferkit.gate.stats.sequential import Trial

BLOCKS = (4, 8, 12, 20)
# Sides that alternate within seconds on one machine are compared more finely than with a baseline of another day.
MARGIN = 0.02


@dataclass(frozen=True)
class Blocks:
    """What one case's blocks measured: log-medians of each side, block by block. `margin` is a share."""

    case: str
    margin: float
    base: tuple[float, ...] = field(default=())
    head: tuple[float, ...] = field(default=())

    def __post_init__(self) -> None:
        if len(self.base) != len(self.head):
            raise ValueError(f"{self.case}: {len(self.base)} replicates of one side, {len(self.head)} of the other")

    @property
    def evidence(self) -> Evidence:
        """The change, from the differences of the blocks. ValueError without any block."""
        return paired(np.subtract(self.head, self.base))


def head_first(seed: int, case: str, counts: Sequence[int] = BLOCKS) -> tuple[bool, ...]:
    """For every block of a case whether its head runs first: random, and as often as not by each look.

    A look of an odd number of blocks more has one order once more than the other. The same seed and case give the
    same orders.
    """
    chance = random.Random(f"{seed}/{case}")
    orders: list[bool] = []
    for count in counts:
        blocks = count - len(orders)
        extra = [chance.random() < 0.5] if blocks % 2 else []
        part = [True, False] * (blocks // 2) + extra
        chance.shuffle(part)
        orders += part
    return tuple(orders)


def without(trial: Trial, index: int) -> Trial:
    """The trial less one case, which cannot be measured (any further)."""

    def less(values: tuple[float, ...]) -> tuple[float, ...]:
        return values[:index] + values[index + 1 :]

    waiting = tuple(case - (case > index) for case in trial.waiting if case != index)
    judgements = trial.judgements[:index] + trial.judgements[index + 1 :]
    looks = tuple(int(look) for look in less(trial.looks))
    return replace(trial, margins=less(trial.margins), looks=looks, judgements=judgements, waiting=waiting)


def ab_outcome(blocks: Blocks, judged: Judgement, plan: LookPlan) -> Outcome:
    """The outcome of a case from the last judgement of its blocks."""
    reason = ""
    if (judged.verdict or Verdict.INCONCLUSIVE) is Verdict.INCONCLUSIVE:
        reason = f"cannot gate at {100 * blocks.margin:g} % with this noise and at most {plan.counts[-1]} blocks"
    return outcome_of(blocks.case, blocks.margin, blocks.base, blocks.head, judged, reason)
