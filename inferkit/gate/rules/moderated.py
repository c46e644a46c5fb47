"""The gate's rule for latencies: moderated t over the whole suite, interim analyses, suspicious cases measured further.

Stateless: the analyses that a case has had are read off its replicates, so the same evidence gives the same outcome in
the campaign, in a comparison of files and in a test. Beside it, the rule for cases that are judged one by one, as in
the workers of pytest-xdist: its error is shared out beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.rule import LogSamples
from inferkit.gate.stats.analyses import SINGLE_ANALYSIS, AnalysisPlan
from inferkit.gate.stats.effect import Evidence, independent
from inferkit.gate.stats.judge import Judgement, Policy, judge
from inferkit.gate.stats.sharing import share
from inferkit.gate.stats.variance import NO_PRIOR, VariancePrior

ANALYSES = (3, 6, 12, 20)
# Fewer replicates make no regression where more can be measured: what stands out is confirmed first.
CONFIRMED = 6
_SUSPICIOUS = 0.5  # of its margin that an undecided change must exceed to be measured further
ONE_REPLICATE = "one replicate each of base and head: how much processes differ is not known"
ASSUMED = "one replicate each of base and head: how much processes differ is assumed, not measured"

# Where no case has a second replicate: processes are taken to differ by this much (standard deviation of the
# log-median, a noisy card or a shared CPU), worth so many degrees of freedom, until the spread of the cases says more.
ASSUMED_NOISE = 0.05
_ASSUMED_DOF = 4.0
_MAD_EFFICIENCY = 0.37  # of the median absolute deviation against the standard deviation, for normal values


@dataclass(frozen=True)
class ModeratedRule:
    """Judges a suite against stored replicates.

    `analyses` are the counts of replicates at which an undecided case is judged (those below what was measured at first
    are left out); none: there is one, as in a comparison of files. An undecided case is measured further while its
    change exceeds half of its margin. `prior` stands in for the suite's own variances where there is history to learn
    from.
    """

    analyses: tuple[int, ...] = ANALYSES
    policy: Policy = field(default_factory=Policy)
    prior: VariancePrior | None = None

    def evidence(self, samples: LogSamples) -> Evidence:
        """The change from base to head, as two groups of a common variance."""
        return independent(samples.base, samples.head)

    def judge(self, suite: Sequence[LogSamples]) -> list[Outcome]:
        """One outcome per case, in the order given; INCONCLUSIVE where the replicates do not decide."""
        judged = self._judgements([case for case in suite if case.comparable])
        return [
            outcome_of(case, item, _reason(case, item)) if (item := judged.get(case.case)) else unjudged(case)
            for case in suite
        ]

    def more(self, outcomes: Sequence[Outcome]) -> Mapping[str, int]:
        """Replicates that the undecided, suspicious cases need until their next analysis."""
        wanted = {}
        for outcome in outcomes:
            undecided = outcome.verdict is Verdict.INCONCLUSIVE and outcome.change is not None and outcome.margin
            if undecided and math.log1p(outcome.change) > _SUSPICIOUS * math.log1p(outcome.margin):  # type: ignore[arg-type]
                following = [count for count in self.analyses if count > outcome.head_replicates]
                if following:
                    wanted[outcome.case] = following[0] - outcome.head_replicates
        return wanted

    def _plan(self, counts: Sequence[int]) -> AnalysisPlan:
        """The analyses of a suite whose cases have `counts` replicates; one where nothing is measured further."""
        if not self.analyses:
            return SINGLE_ANALYSIS
        first, last = min(counts), max(self.analyses[-1], *counts)
        later = [count for count in self.analyses if first < count < last]
        return AnalysisPlan((first, *later, last) if last > first else (first,), least=CONFIRMED)

    def _judgements(self, cases: Sequence[LogSamples]) -> dict[str, Judgement]:
        """The suite judged at every analysis that its cases have had; the p-values of each count at the later ones."""
        if not cases:
            return {}
        plan = self._plan([len(case.head) for case in cases])
        own = [plan.reached(len(case.head)) for case in cases]
        margins = [math.log1p(case.margin) for case in cases]
        earlier: list[tuple[float, float]] | None = None
        judged: list[Judgement] = []
        for number in range(max(own) + 1):
            reached = [min(number, last) for last in own]
            # At its own last analysis a case counts with all its replicates, also those short of the next count.
            evidence = [
                independent(case.base, case.head if at == last else case.head[: plan.counts[at]])
                for case, at, last in zip(cases, reached, own, strict=True)
            ]
            judged = judge(
                evidence,
                margins,
                plan=plan,
                policy=self.policy,
                prior=self.prior or _assumed(evidence),
                earlier=earlier,
                reached=reached,
            )
            earlier = [(item.p_worse, item.p_better) for item in judged]
        return {case.case: item for case, item in zip(cases, judged, strict=True)}


def _assumed(evidence: Sequence[Evidence]) -> VariancePrior | None:
    """A stand-in for the noise between processes where no case has a second replicate; None where one has.

    The changes of the cases spread by their noise, if most cases did not change: their median absolute deviation is
    an estimate of it that a few real changes do not spoil. It is weighed against the assumption by how many there are.
    """
    if any(item.dof > 0 for item in evidence):
        return None
    changes = np.array([item.effect for item in evidence]) * np.sqrt([item.information for item in evidence])
    spread = 1.4826 * float(np.median(np.abs(changes - np.median(changes))))
    weight = _MAD_EFFICIENCY * (len(evidence) - 1)
    dof = _ASSUMED_DOF + weight
    return VariancePrior(dof, (_ASSUMED_DOF * ASSUMED_NOISE**2 + weight * spread**2) / dof, pooled_dof=dof)


def outcome_of(case: LogSamples, item: Judgement, reason: str) -> Outcome:
    """The outcome of a case whose base and head were judged; undecided is INCONCLUSIVE."""
    return Outcome(
        case.case,
        LATENCY,
        item.verdict or Verdict.INCONCLUSIVE,
        base=math.exp(float(np.mean(case.base))),
        head=math.exp(float(np.mean(case.head))),
        change=math.expm1(item.effect),
        lower=_share(item.lower),
        upper=_share(item.upper),
        margin=case.margin,
        head_replicates=len(case.head),
        base_replicates=len(case.base),
        mde=_share(item.mde),
        reason=reason,
    )


def _share(log_ratio: float) -> float | None:
    """A log ratio as a share (0.05: 5 % more); None where it is not known or beyond all measure."""
    return math.expm1(log_ratio) if abs(log_ratio) < 10 else None


def _reason(case: LogSamples, item: Judgement) -> str:
    if not item.can_gate:
        return ONE_REPLICATE
    if len(case.head) + len(case.base) == 2:
        return ASSUMED
    if item.verdict not in (None, Verdict.INCONCLUSIVE):
        return ""
    return f"cannot gate at {100 * case.margin:g} % with this noise and so many replicates"


def unjudged(case: LogSamples) -> Outcome:
    """The outcome of a case that has no base, or was measured in a bad state of the machine."""
    head = math.exp(float(np.mean(case.head))) if case.head else None
    verdict, reason = Verdict.NO_BASELINE, case.no_baseline or "no baseline of this case on this machine"
    if case.invalid:
        verdict, reason = Verdict.INVALID, ", ".join(case.invalid)
    replicates = len(case.head)
    return Outcome(
        case.case, LATENCY, verdict, head=head, margin=case.margin, head_replicates=replicates, reason=reason
    )


_FEWEST = 2  # cases whose variances are worth sharing


class OneByOne:
    """Judges each of `family` cases as it comes, by Bonferroni's rule: Holm's would have to see all of them.

    The variances of the cases that were judged before are shared as ever.
    """

    def __init__(self, family: int) -> None:
        self._family = max(family, 1)
        self._seen: dict[str, Evidence] = {}

    def evidence(self, samples: LogSamples) -> Evidence:
        """As the rule of a whole suite."""
        return independent(samples.base, samples.head)

    def judge(self, suite: Sequence[LogSamples]) -> list[Outcome]:
        """One outcome per case, in the order given."""
        for case in suite:
            if case.comparable:
                self._seen[case.case] = self.evidence(case)
        return [self._rule(case.case).judge([case])[0] for case in suite]

    def more(self, outcomes: Sequence[Outcome]) -> Mapping[str, int]:
        """As the rule of a whole suite."""
        return ModeratedRule().more(outcomes)

    def _rule(self, case: str) -> ModeratedRule:
        names = list(self._seen)
        prior = None
        if case in self._seen and len(names) >= _FEWEST:
            evidence = [self._seen[name] for name in names]
            shared = share([each.variance for each in evidence], [each.dof for each in evidence])
            prior = NO_PRIOR if shared.apart[names.index(case)] else shared.prior
        policy = Policy()
        return ModeratedRule(policy=replace(policy, alpha=policy.alpha / self._family), prior=prior)
