"""Build variance and run variance, separated: several engines built of the same network, several processes of each.

A builder that times its tactics may pick other kernels each time, and every process of one engine shares them: its
replicates then agree with each other and show nothing of the next build. Where a case was measured on several builds
the engine is therefore the replicate: one datum a build, the mean of its processes' log-medians. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from inferkit.gate.outcome import Outcome
from inferkit.gate.rules.rule import LogSamples, Rule
from inferkit.gate.run import CaseRun


@dataclass(frozen=True)
class BuildSpread:
    """Standard deviations of log-medians, as shares: `between` builds beyond what processes explain, `within` a build.

    None where it cannot be known: `within` without a second process of any build, `between` of one build.
    """

    builds: int
    replicates: int
    between: float | None
    within: float | None

    @property
    def text(self) -> str:
        """`3 builds: ±1.2% between builds, ±0.3% between processes of one`."""
        parts = []
        if self.between is not None:
            parts.append(f"±{self.between:.1%} between builds")
        if self.within is not None:
            parts.append(f"±{self.within:.1%} between processes of one")
        return f"{self.builds} builds" + (f": {', '.join(parts)}" if parts else "")


def by_build(log_medians: Sequence[float], builds: Sequence[int]) -> tuple[float, ...]:
    """One datum a build, in the order of the builds' numbers: the mean of its processes.

    Without `builds` all are of one build. ValueError where the two are not of one length.
    """
    groups = _groups(log_medians, builds)
    return tuple(fmean(groups[number]) for number in sorted(groups))


def build_spread(log_medians: Sequence[float], builds: Sequence[int]) -> BuildSpread:
    """The two components, by the one-way analysis of variance with random effects for groups of unequal sizes.

    Searle, Casella, McCulloch, "Variance Components" (1992), section 3.6: between² = (MSB - MSW) / n0, at least 0,
    with n0 = (N - sum n_i² / N) / (k - 1).
    """
    groups = list(_groups(log_medians, builds).values())
    total, count = len(log_medians), len(groups)
    means = [fmean(group) for group in groups]
    freedom = total - count
    inside = math.fsum((value - mean) ** 2 for group, mean in zip(groups, means, strict=True) for value in group)
    within = inside / freedom if freedom > 0 else None
    between = None
    if count > 1:
        centre = fmean(log_medians)
        spread = math.fsum(len(g) * (mean - centre) ** 2 for g, mean in zip(groups, means, strict=True)) / (count - 1)
        size = (total - math.fsum(len(group) ** 2 for group in groups) / total) / (count - 1)
        between = max(spread - (within or 0.0), 0.0) / size
    roots = [None if value is None else math.sqrt(value) for value in (between, within)]
    return BuildSpread(count, total, roots[0], roots[1])


def _groups(log_medians: Sequence[float], builds: Sequence[int]) -> dict[int, list[float]]:
    numbers = builds or [0] * len(log_medians)
    if len(numbers) != len(log_medians):
        raise ValueError(f"{len(log_medians)} replicates of {len(numbers)} builds: one build for each")
    groups: dict[int, list[float]] = {}
    for number, value in zip(numbers, log_medians, strict=True):
        groups.setdefault(number, []).append(value)
    return groups


def comparable(base: CaseRun, head: CaseRun) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The log-medians of base and head on one level: of processes where neither has several builds, else of engines.

    One engine is then one datum, however many processes it was measured in.
    """
    if not (base.several_builds or head.several_builds):
        return base.log_medians, head.log_medians
    return by_build(base.log_medians, base.builds), by_build(head.log_medians, head.builds)


def judge_levels(rule: Rule, suite: Sequence[LogSamples], of_engines: Collection[str]) -> list[Outcome]:
    """The outcomes in the order given; the cases `of_engines`, whose replicates are engines, are judged apart.

    Their variance is another one: shared with that of processes, it would be taken for much too small. With both
    kinds to compare in a run each suite has half of the error.
    """
    from inferkit.gate.rules.moderated import ModeratedRule  # needs scipy

    engines = [case for case in suite if case.case in of_engines]
    processes = [case for case in suite if case.case not in of_engines]
    both = all(any(case.comparable for case in group) for group in (engines, processes))
    if both and isinstance(rule, ModeratedRule):
        rule = replace(rule, policy=replace(rule.policy, alpha=rule.policy.alpha / 2))
    judged = {outcome.case: outcome for group in (processes, engines) if group for outcome in rule.judge(group)}
    return [judged[case.case] for case in suite]
