"""How many replicates a baseline needs: so many that a slowdown of the margin would be seen against it.

However often a suspicious case is measured again, its change is no surer than its baseline: three replicates of a noisy
case are an uncertain base. Pure, like the rule that judges later (moderated.py), whose analyses it uses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from inferkit.gate.rules.moderated import ANALYSES
from inferkit.gate.rules.rule import LogSamples
from inferkit.gate.stats.effect import exceeded
from inferkit.gate.stats.judge import POWER, Policy
from inferkit.gate.stats.sharing import share

# Three processes of a case that has two states are all in one of them once in four times, and look quiet.
FEWEST = 6
_POLICY = Policy()


def more_for_baseline(suite: Sequence[LogSamples], analyses: Sequence[int] = ANALYSES) -> Mapping[str, int]:
    """Replicates that each case of `suite` still needs until its next count of `analyses`; empty: all have enough.

    A case has enough when as many replicates again would show a slowdown of its margin with the gate's power, and at
    the last count in any case. Only `head` and `margin` of the cases count.
    """
    cases = [case for case in suite if len(case.head) > 1]
    variance = np.array([np.var(case.head, ddof=1) for case in cases])
    dof = np.array([len(case.head) - 1.0 for case in cases])
    moderated, freedom = share(variance, dof).posterior(variance, dof)
    alpha = _POLICY.alpha / 2 / max(len(suite), 1)
    wanted = {}
    for case, deviation, known in zip(cases, np.sqrt(moderated), freedom, strict=True):
        count = len(case.head)
        following = [planned for planned in analyses if planned > count]
        found = _detectable(deviation, known + count - 1, count, alpha)
        if following and (count < FEWEST or found > math.log1p(case.margin)):
            wanted[case.case] = following[0] - count
    return wanted


def _detectable(deviation: float, dof: float, count: int, alpha: float) -> float:
    """The slowdown (log ratio) found with the gate's power, `count` replicates against as many.

    The test is against a share of the margin, so what exceeds that share must be this far above the noise.
    """
    factor = float(exceeded(alpha, dof) + exceeded(1 - POWER, dof))
    return float(factor * deviation * math.sqrt(2 / count) / (1 - _POLICY.tolerance_share))
