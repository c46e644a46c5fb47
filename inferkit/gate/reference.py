"""What the reference network says: a network that never changes runs with every run, so if it moved, the machine did.

It is judged by the gate's own statistics: moved is a change shown (5 %, both ways together) to exceed a quarter of its
margin, the smallest change that counts as a regression of any case. A case's verdict rests on far stronger evidence
than that, but must not rest on another machine.

It throws no verdict away, it explains: each time that is REGRESSED or IMPROVED says what the machine did meanwhile.
Where the machine may have done all of it, the case is INCONCLUSIVE. That is so while the case changed the same way and
no more than three times as much: networks react differently to what happened to a machine (a neighbour in the shared
cache, less memory bandwidth). What changed the other way, or much more, keeps its verdict. Either is settled where the
machine's state cancels: by base and head measured in turns.

A machine may also change its state every few seconds (two levels, half as slow again, on shared two-core machines):
then the reference's replicates are some of one and some of the other, no movement can be shown of so wide a spread,
and a case may have had most of its replicates in the slower state by chance. So a case is INCONCLUSIVE too while its
change is no more than what a single replicate of the reference showed that the machine can do (and half of that again).
That replicate has to lie outside the reference's ordinary scatter, four robust standard deviations: within it, it says
nothing of the machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from inferkit.gate.metrics import LATENCY, is_timed
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.rule import LogSamples

if TYPE_CHECKING:
    from inferkit.gate.stats.effect import Evidence

# How a rule sees the change of a case (rules/rule.py).
EvidenceOf = Callable[[LogSamples], "Evidence"]

_ALPHA = 0.05
_FEWEST_CASES = 3  # of whose changes a median is worth a word
# How much more than the reference others reacted, in logarithms: up to 1.2 times when a machine changed its state every
# few seconds. Where it moved for good that was not measured: three times is a choice, on the careful side.
_REACTION = 1.5
_REACTION_TO_MOVED = 3.0
# Robust standard deviations (1.4826 median absolute deviations) around the median that are ordinary scatter.
_ORDINARY = 4 * 1.4826
_FEWEST_STATES = 2  # replicates of head that can show two states of the machine
# The two reference networks in words: one is bound by arithmetic, one by the memory.
ARITHMETIC, MEMORY = "the reference network", "the memory's reference network"
HINT = "measure base and head in turns: pytest --against REF, or inferkit ab"


@dataclass(frozen=True)
class Movement:
    """How the reference network's latency changed: shares, with one-sided 99 % bounds. `moved`: shown to have.

    `lowest` and `highest` are its fastest and slowest replicate of head, as changes from the mean of base; 0 where they
    are ordinary scatter.
    """

    name: str
    change: float
    lower: float
    upper: float
    margin: float
    moved: bool
    lowest: float = 0.0
    highest: float = 0.0
    which: str = ARITHMETIC

    @property
    def _moved(self) -> str:
        return f"{self.which} moved by {self.change:+.1%}: the machine did"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {key: getattr(self, key) for key in ("change", "lower", "upper", "moved")}

    def explained(self, outcome: Outcome) -> Outcome:
        """The outcome with what the machine did, where it is a time that is REGRESSED or IMPROVED.

        INCONCLUSIVE, with the `machine`'s part, where the machine may have done all of it.
        """
        if not is_timed(outcome.metric) or outcome.verdict not in (Verdict.REGRESSED, Verdict.IMPROVED):
            return outcome
        if self.moved:
            machine, reaction = self.change, _REACTION_TO_MOVED
            reason = self._moved
        else:
            machine, reaction = (self.highest if (outcome.change or 0.0) > 0 else self.lowest), _REACTION
            reason = f"the machine is not steady: {self.which} reached {machine:+.1%}"
        if not machine:
            return outcome
        reason = f"{reason}; {outcome.reason}" if outcome.reason else reason
        if not _within(outcome.change, machine, reaction):
            return replace(outcome, reason=reason, hint=outcome.hint or HINT)
        return replace(outcome, verdict=Verdict.INCONCLUSIVE, reason=reason, hint=HINT, machine=machine)

    def line(self, outcomes: Sequence[Outcome]) -> str:
        """What a report says of it and of the median of the latencies of its kind of machine; may be empty."""
        changes = [o.change for o in outcomes if o.metric == LATENCY and o.change is not None]
        if self.moved:
            return f"{self._moved}, and what passes may hide as much" if self.change < 0 else self._moved
        if len(changes) < _FEWEST_CASES or self.which != ARITHMETIC:
            return ""
        middle = median(changes)
        noticeable = abs(math.log1p(middle)) > 0.25 * math.log1p(self.margin)
        if noticeable and not self.lower <= middle <= self.upper:
            return (
                f"the suite's median moved by {middle:+.1%}, the reference network did not "
                f"({self.change:+.1%}, between {self.lower:+.1%} and {self.upper:+.1%}): the software did"
            )
        return ""


def explained(movements: Sequence[Movement], outcome: Outcome) -> Outcome:
    """The outcome with what either reference says: undecided where one of them alone may have done all of it."""
    each = [movement.explained(outcome) for movement in movements]
    undecided = [one for one in each if one.machine is not None]
    told = [one for one in each if one.reason != outcome.reason]
    return (undecided or told or [outcome])[0]


def movement(
    reference: LogSamples, cases: Sequence[LogSamples], evidence: EvidenceOf, which: str = ARITHMETIC
) -> Movement:
    """Judge the change of the reference; it shares the variances of the `cases` measured with it.

    `evidence` is the rule's.
    """
    from inferkit.gate.stats.analyses import SINGLE_ANALYSIS
    from inferkit.gate.stats.judge import Policy, judge
    from inferkit.gate.stats.sharing import share
    from inferkit.gate.stats.variance import NO_PRIOR

    own = evidence(reference)
    everything = [own, *map(evidence, cases)]
    shared = share([each.variance for each in everything], [each.dof for each in everything])
    prior = NO_PRIOR if shared.apart[0] else shared.prior
    policy = Policy(alpha=_ALPHA)
    (judged,) = judge([own], [math.log1p(reference.margin)], plan=SINGLE_ANALYSIS, policy=policy, prior=prior)
    moved = min(judged.p_worse, judged.p_better) <= policy.alpha / 2
    change, bounds = math.expm1(judged.effect), (_share(judged.lower), _share(judged.upper))
    return Movement(reference.case, change, *bounds, reference.margin, moved, *_extremes(reference), which)


def _extremes(reference: LogSamples) -> tuple[float, float]:
    """The fastest and the slowest replicate of head as changes from base; 0 where they are ordinary scatter."""
    if len(reference.head) < _FEWEST_STATES:
        return 0.0, 0.0
    level, everything = fmean(reference.base), [*reference.base, *reference.head]
    middle = median(everything)
    ordinary = _ORDINARY * median(abs(each - middle) for each in everything)
    lowest, highest = (
        _share(each - level) if abs(each - middle) > ordinary else 0.0
        for each in (min(reference.head), max(reference.head))
    )
    return lowest, highest


class Beside:
    """What the reference says of each case that it was measured beside; arguments as for `movement`.

    The reference is measured as long as any case is. What it did after a case's last replicate may hide what it did
    before, so a case with fewer replicates is also held against as many of the reference's.
    """

    def __init__(
        self, reference: LogSamples, cases: Sequence[LogSamples], evidence: EvidenceOf, which: str = ARITHMETIC
    ) -> None:
        self._count = len(reference.head)
        self._first = cache(
            lambda count: movement(replace(reference, head=reference.head[:count]), cases, evidence, which)
        )

    @property
    def overall(self) -> Movement:
        """The movement over all replicates."""
        return self._first(self._count)

    def of(self, replicates: int) -> Movement:
        """The movement that a case with so many replicates (0: it failed) is to be judged by."""
        first = self._first(min(replicates, self._count) or self._count)
        return first if first.moved else self.overall


def _within(change: float | None, machine: float, reaction: float) -> bool:
    """Whether a change is no more than `reaction` times what the machine did, the same way; one not known may be."""
    if change is None or change <= -1:
        return change is None
    return change * machine > 0 and abs(math.log1p(change)) <= reaction * abs(math.log1p(machine))


def _share(log_ratio: float) -> float:
    return math.expm1(min(max(log_ratio, -50.0), 50.0))
