"""What the reference network says: a network that never changes runs with every run, so if it moved, the machine did.

It is judged by the gate's own statistics: moved is a change shown (5 %, both ways together) to exceed a quarter of its
margin, the smallest change that counts as a regression of any case. A case's verdict rests on far stronger evidence
than that, but must not rest on another machine.

Where it moved, no latency of that kind of machine is REGRESSED or IMPROVED, however much further the case went: how
strongly a network reacts to what happened to the machine (a neighbour in the shared cache, less memory bandwidth) is
not known, and may be many times what the reference shows. Such a case is INVALID with both figures, and is to be
judged where the machine's state cancels: interleaved with another commit.

A machine may also change its state every few seconds (two levels, half as slow again, on shared two-core machines):
then the reference's replicates are some of one and some of the other, no movement can be shown of so wide a spread,
and a case may have had most of its replicates in the slower state by chance. So a case is INVALID too while its change
is no more than what a single replicate of the reference showed that the machine can do (and half of that again: some
networks react that much more than the reference). That replicate has to lie outside the reference's ordinary scatter,
four robust standard deviations: within it, it says nothing of the machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from inferkit.gate.outcome import LATENCY, SIDE_TIMES, Outcome, Verdict

if TYPE_CHECKING:
    from inferkit.gate.stats.effect import Evidence

_ALPHA = 0.05
_FEWEST_CASES = 3  # of whose changes a middle is worth a word
_TIMES = (LATENCY, *SIDE_TIMES)
# How much more than the reference others reacted when a machine changed its state: up to 1.2 times, in logarithms.
_REACTION = 1.5
# Robust standard deviations (1.4826 median absolute deviations) around the median that are ordinary scatter.
_ORDINARY = 4 * 1.4826
HINT = "judge it where the machine cancels: pytest bench --against REF, or inferkit ab"


@dataclass(frozen=True)
class Movement:
    """How the reference network's latency changed: shares, with one-sided 99 % bounds. `moved`: shown to have.

    `lowest` and `highest` are its fastest and slowest replicate now, as changes from the mean of those before; 0 where
    they are ordinary scatter.
    """

    name: str
    change: float
    lower: float
    upper: float
    margin: float
    moved: bool
    lowest: float = 0.0
    highest: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {key: getattr(self, key) for key in ("change", "lower", "upper", "moved")}

    def blamed(self, outcome: Outcome) -> Outcome:
        """The outcome of a time, INVALID where it is REGRESSED or IMPROVED and the machine moved."""
        timed = any(outcome.metric == metric or outcome.metric.startswith(f"{metric} ") for metric in _TIMES)
        if not timed or outcome.verdict not in (Verdict.REGRESSED, Verdict.IMPROVED):
            return outcome
        if self.moved:
            machine, reason = self.change, f"the reference network moved by {self.change:+.1%}: the machine did"
        elif (reached := self._reached(outcome)) is not None:
            machine, reason = reached, f"the machine is not steady: the reference network reached {reached:+.1%}"
        else:
            return outcome
        if outcome.reason:
            reason = f"{reason}; {outcome.reason}"
        return replace(outcome, verdict=Verdict.INVALID, reason=reason, hint=HINT, machine=machine)

    def _reached(self, outcome: Outcome) -> float | None:
        """What the reference's extreme replicate showed, where that may be all that happened to the case."""
        if outcome.change is None or outcome.change <= -1:
            return None
        extreme = self.highest if outcome.change > 0 else self.lowest
        same_way = extreme * outcome.change > 0
        within = abs(math.log1p(outcome.change)) <= _REACTION * abs(math.log1p(extreme))
        return extreme if same_way and within else None

    def line(self, outcomes: Sequence[Outcome]) -> str:
        """What a run's report says of it and of the middle of the latencies of its kind of machine; may be empty."""
        changes = [o.change for o in outcomes if o.metric == LATENCY and o.change is not None]
        if self.moved:
            said = f"the reference network moved by {self.change:+.1%}: the machine did"
            return f"{said}, and what passes may hide as much" if self.change < 0 else said
        if len(changes) < _FEWEST_CASES:
            return ""
        middle = median(changes)
        noticeable = abs(math.log1p(middle)) > 0.25 * math.log1p(self.margin)
        if noticeable and not self.lower <= middle <= self.upper:
            return (
                f"the suite's median moved by {middle:+.1%}, the reference network did not "
                f"({self.change:+.1%}, between {self.lower:+.1%} and {self.upper:+.1%}): the software did"
            )
        return ""


def movement(name: str, evidence: Evidence, others: Sequence[Evidence], margin: float) -> Movement:
    """Judge the reference's change; `others` are the cases' evidence, whose variances it shares. `margin`: a share."""
    from inferkit.gate.stats.judge import Policy, judge
    from inferkit.gate.stats.looks import SINGLE_LOOK
    from inferkit.gate.stats.sharing import share
    from inferkit.gate.stats.variance import NO_PRIOR

    everything = [evidence, *(each for each in others if each is not evidence)]
    shared = share([each.variance for each in everything], [each.dof for each in everything])
    prior = NO_PRIOR if shared.apart[0] else shared.prior
    policy = Policy(alpha=_ALPHA)
    (found,) = judge([evidence], [math.log1p(margin)], plan=SINGLE_LOOK, look=0, policy=policy, prior=prior)
    moved = min(found.p_worse, found.p_better) <= policy.alpha / 2
    return Movement(name, math.expm1(found.effect), _share(found.lower), _share(found.upper), margin, moved)


def moved_between(
    name: str,
    before: Sequence[float],
    now: Sequence[float],
    cases: Sequence[tuple[Sequence[float], Sequence[float]]],
    margin: float,
) -> Movement:
    """`movement` of the reference's log-medians; `cases` are those (before, now) of the cases measured with it."""
    from inferkit.gate.stats.effect import independent

    found = movement(name, independent(before, now), [independent(*case) for case in cases], margin)
    if not before or not now:
        return found
    level, everything = fmean(before), [*before, *now]
    middle = median(everything)
    ordinary = _ORDINARY * median(abs(each - middle) for each in everything)
    lowest, highest = (_share(each - level) if abs(each - middle) > ordinary else 0.0 for each in (min(now), max(now)))
    return replace(found, lowest=lowest, highest=highest)


class Beside:
    """What the reference says of each case that it was measured beside; arguments as for `moved_between`.

    The reference is measured as long as any case is. What it did after a case's last replicate may hide what it did
    before, so a case with fewer replicates is also held against as many of the reference's.
    """

    def __init__(
        self,
        name: str,
        before: Sequence[float],
        now: Sequence[float],
        cases: Sequence[tuple[Sequence[float], Sequence[float]]],
        margin: float,
    ) -> None:
        self._count = len(now)
        self._first = cache(lambda count: moved_between(name, before, now[:count], cases, margin))

    @property
    def overall(self) -> Movement:
        """The movement over all replicates."""
        return self._first(self._count)

    def of(self, replicates: int) -> Movement:
        """The movement that a case with so many replicates (0: it failed) is to be judged by."""
        found = self._first(min(replicates, self._count) or self._count)
        return found if found.moved else self.overall


def _share(log_ratio: float) -> float:
    return math.expm1(min(max(log_ratio, -50.0), 50.0))
