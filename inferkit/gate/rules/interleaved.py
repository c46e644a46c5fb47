"""The rule of interleaved A/B: in which order base and head run, and what their blocks say.

A block is one fresh process of base and one of head, one right after the other; what drifts between blocks cancels.
Cases are analysed after 4, 8, 12 and 20 blocks: most pass at the first, and only the undecided are measured further.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import numpy as np

from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.moderated import outcome_of, unjudged
from inferkit.gate.rules.rule import LogSamples
from inferkit.gate.stats.analyses import AnalysisPlan
from inferkit.gate.stats.effect import Evidence, paired
from inferkit.gate.stats.sequential import TestedCase, advance

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
        self._trial: dict[str, TestedCase] | None = None

    def evidence(self, samples: LogSamples) -> Evidence:
        """The change, from the differences of the blocks. ValueError without any block, or of unequal counts."""
        if len(samples.base) != len(samples.head):
            raise ValueError(f"{samples.case}: {len(samples.base)} replicates of base, {len(samples.head)} of head")
        return paired(np.subtract(samples.head, samples.base))

    def judge(self, suite: Sequence[LogSamples]) -> list[Outcome]:
        """One outcome per case, in the order given. A new analysis where every waiting case has the blocks for it."""
        cases = {case.case: case for case in suite if case.comparable}
        if self._trial is None:
            self._trial = {name: TestedCase(math.log1p(case.margin)) for name, case in cases.items()}
        trial = {name: case for name, case in self._trial.items() if name in cases}
        waiting = self._waiting(trial)
        if waiting and all(len(cases[name].base) >= count for name, count in waiting.items()):
            trial = advance(trial, {name: self.evidence(cases[name]) for name in trial}, self.plan, suspicion=0)
        self._trial = trial
        outcomes = []
        for case in suite:
            item = trial[case.case].judgement if case.case in trial else None
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
        waiting = self._waiting(self._trial)
        return {name: count - measured[name] for name, count in waiting.items() if name in measured}

    def _waiting(self, trial: Mapping[str, TestedCase]) -> dict[str, int]:
        """How many blocks each waiting case must have at its analysis."""
        return {name: self.plan.counts[case.analysis] for name, case in trial.items() if case.waiting}
