"""What the reference network says: a network that never changes runs with every run, so if it moved, the machine did.

It is judged by the gate's own statistics: moved is a change shown (5 %, both ways together) to exceed a quarter of its
margin, the smallest change that counts as a regression of any case. A case's verdict rests on far stronger evidence
than that, but must not rest on another machine.

Where it moved, no latency of that kind of machine is REGRESSED or IMPROVED, however much further the case went: how
strongly a network reacts to what happened to the machine (a neighbour in the shared cache, less memory bandwidth) is
not known, and may be many times what the reference shows. Such a case is INVALID with both figures, and is to be
judged where the machine's state cancels: interleaved with another commit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from inferkit.gate.outcome import BUILD_TIME, COLD_START, LATENCY, P99, Outcome
from inferkit.gate.verdict import Verdict

if TYPE_CHECKING:
    from inferkit.gate.stats.effect import Evidence

_ALPHA = 0.05
_FEWEST_CASES = 3  # of whose changes a middle is worth a word
_TIMES = (LATENCY, P99, BUILD_TIME, COLD_START)
WAY_OUT = "judge it where the machine cancels: pytest bench --against REF, or inferkit ab"


@dataclass(frozen=True)
class Movement:
    """How the reference network's latency changed: shares, with one-sided 99 % bounds. `moved`: shown to have."""

    name: str
    change: float
    lower: float
    upper: float
    margin: float
    moved: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {key: getattr(self, key) for key in ("change", "lower", "upper", "moved")}

    def blamed(self, outcome: Outcome) -> Outcome:
        """The outcome of a time, INVALID where it is REGRESSED or IMPROVED and the machine moved."""
        timed = any(outcome.metric == metric or outcome.metric.startswith(f"{metric} ") for metric in _TIMES)
        if not (self.moved and timed and outcome.verdict in (Verdict.REGRESSED, Verdict.IMPROVED)):
            return outcome
        reason = f"the reference network moved by {self.change:+.1%}: the machine did"
        if outcome.reason:
            reason = f"{reason}; {outcome.reason}"
        return replace(outcome, verdict=Verdict.INVALID, reason=reason, way_out=WAY_OUT, machine=self.change)

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

    return movement(name, independent(before, now), [independent(*case) for case in cases], margin)


def _share(log_ratio: float) -> float:
    return math.expm1(min(max(log_ratio, -50.0), 50.0))
