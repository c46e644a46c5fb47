"""From evidence to verdicts, for a whole suite at once: pure, the same for a baseline, an A/B run and two files.

For each case: H0 "slower by at most the tolerance" is tested one-sided with a moderated t; the p-value pays for the
interim analyses (analyses.py) and for the suite (Holm). The median-based estimate must be above the
tolerance as well, so that no single odd process makes a regression. A case PASSes as soon as the upper bound of its
change is below its margin: that is a demonstration, not the absence of one. Both rules may be undecided: then the case
needs more replicates, and at the last analysis it is INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inferkit.gate.outcome import Verdict
from inferkit.gate.stats.analyses import AnalysisPlan
from inferkit.gate.stats.effect import Evidence, bound, detectable, p_above
from inferkit.gate.stats.sharing import share
from inferkit.gate.stats.variance import VariancePrior

CONFIDENCE = 0.99  # of the bounds shown and of the early PASS, one-sided
POWER = 0.95  # with which the smallest detectable change is found


@dataclass(frozen=True)
class Policy:
    """How sure the gate must be. `alpha` is the suite's error for REGRESSED and IMPROVED together (half each).

    A change is tested against `tolerance_share` of the margin, so that shifts too small to matter are not called
    regressions however precisely they are seen.
    """

    alpha: float = 0.05
    tolerance_share: float = 0.25


@dataclass(frozen=True)
class Judgement:
    """The verdict on one case (None: undecided, measure more) and what it rests on; effects are log ratios.

    `lower` and `upper` are one-sided bounds at CONFIDENCE; `mde` is the smallest regression that so many replicates of
    this case would have shown with POWER.
    """

    verdict: Verdict | None
    effect: float
    lower: float
    upper: float
    p_worse: float
    p_better: float
    mde: float

    @property
    def can_gate(self) -> bool:
        """Whether an effect of the size that was to be found could be seen at all."""
        return np.isfinite(self.mde)


def judge(
    evidence: Sequence[Evidence],
    margins: Sequence[float],
    *,
    plan: AnalysisPlan,
    policy: Policy | None = None,
    prior: VariancePrior | None = None,
    earlier: Sequence[tuple[float, float]] | None = None,
    reached: Sequence[int] | None = None,
) -> list[Judgement]:
    """Judge all cases of a suite. `margins` are log ratios (0.02: a change of 2 % must be found).

    `prior` replaces the variance prior fitted to these cases (for instance one learnt from history). `reached` is the
    interim analysis of the plan that each case is at (cases that were clear early are not measured further), None the
    first for all. `earlier` are (p_worse, p_better) that cases had at earlier analyses: the smallest counts.
    """
    rules = policy or Policy()
    if not evidence:
        return []
    effect = np.array([item.effect for item in evidence])
    robust = np.array([item.robust for item in evidence])
    variance = np.array([item.variance for item in evidence])
    dof = np.array([item.dof for item in evidence])
    margin = np.asarray(margins, float)
    moderated, freedom = (share(variance, dof) if prior is None else prior).posterior(variance, dof)
    error = np.sqrt(moderated / np.array([item.information for item in evidence]))
    tolerance = rules.tolerance_share * margin
    analyses = np.zeros(len(evidence), int) if reached is None else np.asarray(reached)

    slower = np.where(robust > tolerance, p_above(effect, tolerance, error, freedom), 1.0)
    faster = np.where(-robust > tolerance, p_above(-effect, tolerance, error, freedom), 1.0)
    worse, better = _paid(plan, analyses, slower), _paid(replace(plan, least=0), analyses, faster)
    has_variance = freedom > 0
    worse, better = np.where(has_variance, worse, 1.0), np.where(has_variance, better, 1.0)
    if earlier is not None:
        least = np.asarray(earlier, float)
        worse, better = np.minimum(worse, least[:, 0]), np.minimum(better, least[:, 1])
    half = rules.alpha / 2
    regressed, improved = holm(worse) <= half, holm(better) <= half
    width = np.where(has_variance, bound(effect, error, freedom, CONFIDENCE), np.inf)
    alone = [plan.allowance(at, half / len(evidence)) for at in np.maximum(analyses, plan.first)]
    # A regression must clear both rules: significantly above the tolerance, and not shown to be below the margin.
    clears = margin - width + bound(effect, error, freedom, POWER)
    mde = np.where(has_variance, np.maximum(detectable(error, freedom, tolerance, alone, POWER), clears), np.inf)
    lower, upper = effect - width, effect + width
    judgements = []
    for i in range(len(evidence)):
        verdict: Verdict | None = None
        if upper[i] < margin[i]:
            verdict = Verdict.IMPROVED if improved[i] and lower[i] < -margin[i] else Verdict.PASS
        elif regressed[i]:
            verdict = Verdict.REGRESSED
        elif analyses[i] >= plan.last:
            verdict = Verdict.INCONCLUSIVE
        figures = (float(values[i]) for values in (effect, lower, upper, worse, better, mde))
        judgements.append(Judgement(verdict, *figures))
    return judgements


def _paid(plan: AnalysisPlan, analyses: NDArray[np.int_], p: NDArray[np.float64]) -> NDArray[np.float64]:
    result = np.ones_like(p)
    for analysis in np.unique(analyses):
        chosen = analyses == analysis
        result[chosen] = plan.sequential_p(int(analysis), p[chosen])
    return result


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm-adjusted p-values, in the order given; a case is rejected at level q when its value is at most q.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979).
    """
    values = np.asarray(p, float)
    order = np.argsort(values)
    remaining = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * remaining), 1.0)
    return adjusted
