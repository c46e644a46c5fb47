"""The rule of interleaved A/B: in which order base and head run, and what their blocks say.

A block is one fresh process of base and one of head, one right after the other; what drifts between blocks cancels.
Cases are analysed after 4, 8, 12 and 20 blocks: most pass at the first, and only the undecided are measured further.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.moderated import outcome_of, unjudged
from inferkit.gate.rules.rule import LogSamples
from inferkit.gate.stats.analyses import AnalysisPlan
from inferkit.gate.stats.effect import Evidence, paired
from inferkit.gate.stats.sequential import Trial, advance, begin

BLOCKS = (4, 8, 12, 20)
# Processes that alternate within seconds on one machine are compared more finely than with a baseline of another day.
MARGIN = 0.02


def head_first(seed: int, case: str, counts: Sequence[int] = BLOCKS) -> tuple[bool, ...]:
    """For every block of a case whether its head runs first: random, and as often as not by each analysis.

    Where an analysis adds an odd number of blocks, one order comes once more than the other. The same seed and case
    give the same orders.
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


class InterleavedRule:
    """Judges blocks as they come: base and head of a case have one value for each block, in the order of the blocks.

    Remembers what it judged: a case that is decided is not tested again. A case that is not given any more, since it
    cannot be measured further, leaves the suite.
    """

    def __init__(self, counts: Sequence[int] = BLOCKS) -> None:
        self.plan = AnalysisPlan(tuple(counts))
        self._names: list[str] = []
        self._trial: Trial | None = None

    def evidence(self, samples: LogSamples) -> Evidence:
        """The change, from the differences of the blocks. ValueError without any block, or of unequal counts."""
        if len(samples.base) != len(samples.head):
            raise ValueError(f"{samples.case}: {len(samples.base)} replicates of base, {len(samples.head)} of head")
        return paired(np.subtract(samples.head, samples.base))

    def judge(self, suite: Sequence[LogSamples]) -> list[Outcome]:
        """One outcome per case, in the order given. A new analysis where every waiting case has the blocks for it."""
        cases = [case for case in suite if case.comparable]
        if self._trial is None:
            self._names = [case.case for case in cases]
            self._trial = begin([math.log1p(case.margin) for case in cases], self.plan, suspicion=0)
        by_name = {case.case: case for case in cases}
        for index in reversed(range(len(self._names))):
            if self._names[index] not in by_name:
                del self._names[index]
                self._trial = _without(self._trial, index)
        ordered = [by_name[name] for name in self._names]
        waiting = self._trial.waiting
        if waiting and all(len(ordered[index].base) >= self._trial.count(index) for index in waiting):
            self._trial = advance(self._trial, [self.evidence(case) for case in ordered])
        judged = dict(zip(self._names, self._trial.judgements, strict=True)) if self._trial.judgements else {}
        outcomes = []
        for case in suite:
            item = judged.get(case.case) if case.comparable else None
            if item is None:
                outcomes.append(unjudged(case))
                continue
            reason = ""
            if (item.verdict or Verdict.INCONCLUSIVE) is Verdict.INCONCLUSIVE:
                most = self.plan.counts[-1]
                reason = f"cannot gate at {100 * case.margin:g} % with this noise and at most {most} blocks"
            outcomes.append(outcome_of(case, item, reason))
        return outcomes

    def more(self, outcomes: Sequence[Outcome]) -> Mapping[str, int]:
        """The further blocks of every undecided case until its next analysis."""
        if self._trial is None:
            return {outcome.case: self.plan.counts[0] for outcome in outcomes}
        measured = {outcome.case: outcome.head_replicates for outcome in outcomes}
        waiting = {self._names[index]: self._trial.count(index) for index in self._trial.waiting}
        return {name: count - measured[name] for name, count in waiting.items() if name in measured}


def _without(trial: Trial, index: int) -> Trial:
    """The trial less one case, which cannot be measured (any further)."""
    waiting = tuple(case - (case > index) for case in trial.waiting if case != index)
    return replace(
        trial,
        margins=trial.margins[:index] + trial.margins[index + 1 :],
        analyses=trial.analyses[:index] + trial.analyses[index + 1 :],
        judgements=trial.judgements[:index] + trial.judgements[index + 1 :],
        waiting=waiting,
    )
