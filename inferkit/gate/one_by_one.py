"""The rule for cases judged one by one, as in the workers of pytest-xdist: the error is shared out beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from inferkit.gate.moderated import ModeratedRule
from inferkit.gate.outcome import Outcome
from inferkit.gate.rule import CaseLatency
from inferkit.gate.stats.effect import Evidence, independent
from inferkit.gate.stats.judge import Policy
from inferkit.gate.stats.sharing import share
from inferkit.gate.stats.variance import NO_PRIOR

_FEWEST = 2  # cases whose variances are worth sharing


class OneByOne:
    """Judges each of `family` cases as it comes, by Bonferroni's rule: Holm's would have to see all of them.

    The variances of the cases that were judged before are shared as ever.
    """

    def __init__(self, family: int) -> None:
        self._family = max(family, 1)
        self._seen: dict[str, Evidence] = {}

    def judge(self, suite: Sequence[CaseLatency]) -> list[Outcome]:
        """One outcome per case, in the order given."""
        for case in suite:
            if case.now and case.baseline and not case.invalid:
                self._seen[case.case] = independent(case.baseline, case.now)
        return [self._rule(case.case).judge([case])[0] for case in suite]

    def more(self, outcomes: Sequence[Outcome], rounds: int) -> Mapping[str, int]:
        """As the rule of a whole suite."""
        return ModeratedRule().more(outcomes, rounds)

    def _rule(self, case: str) -> ModeratedRule:
        names = list(self._seen)
        prior = None
        if case in self._seen and len(names) >= _FEWEST:
            known = [self._seen[name] for name in names]
            shared = share([each.variance for each in known], [each.dof for each in known])
            prior = NO_PRIOR if shared.apart[names.index(case)] else shared.prior
        policy = Policy()
        return ModeratedRule(policy=replace(policy, alpha=policy.alpha / self._family), prior=prior)
