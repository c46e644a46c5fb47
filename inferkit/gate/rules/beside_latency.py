"""The tests of the metrics beside the latency: whatever metrics.py has a row for.

What varies from process to process is judged on logarithms of each replicate like the latency, with an error of 1 % of
its own over the suite. What a build fixes (device memory, engine size) is compared byte by byte: growth beyond the
margin is a regression, growth within it is named. A margin may be stated as an amount (10 MiB, 500 ms): what share of
base that is, is its margin here.

An engine that is built once and run by many processes has one build time, however often it is written down. Fewer than
three builds of base or head do not show how much builds differ: only more than twice as long, and two seconds, is
slower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from inferkit.gate.metrics import FEWEST, Metric, Test, of_replicates
from inferkit.gate.outcome import Outcome, Verdict, verdict_beyond
from inferkit.gate.rules.rule import LogSamples
from inferkit.gate.run import CaseRun
from inferkit.gate.units import Unit

# Of fewer builds than show their own noise: builds of a second have differed by half, and wait for others at work.
FEW_BUILDS_MARGIN, FEW_BUILDS_FLOOR = 1.0, 2.0
_ALPHA = 0.02  # REGRESSED and IMPROVED together, half each


@dataclass(frozen=True)
class JudgedPair:
    """A case that base and head have, with the margin of its latency (a share).

    `spoiled`: the machine was not in a state to measure it, so that only what a build fixes is judged.
    """

    base: CaseRun
    head: CaseRun
    margin: float
    spoiled: bool = False

    def margin_of(self, metric: Metric, base: float) -> float:
        """The margin of a metric of this case as a share of `base`: the one stated for it, else the table's."""
        stated = self.head.margins.get(metric.name)
        return metric.margin_of(self.margin) if stated is None else stated.share_of(base)

    def stated(self, metric: Metric) -> str:
        """A margin that was stated as an amount, for the reason of a verdict; empty where it is a share."""
        margin = self.head.margins.get(metric.name)
        return "" if margin is None or margin.is_share else f"the margin is {margin.text}"


# A case with its values of one metric: base, head.
_Values = tuple[JudgedPair, tuple[float, ...], tuple[float, ...]]


def judge_metrics(pairs: Sequence[JudgedPair], family: int | None = None) -> list[Outcome]:
    """The outcomes of every metric but the latency that both base and head have, metric by metric.

    `family` is how many cases are judged in all where these are only some of them: they get their part of the error.
    """
    sound = [pair for pair in pairs if not pair.spoiled]
    part = 1.0 if family is None else min(len(sound) / max(family, 1), 1.0)
    outcomes: list[Outcome] = []
    for metric in of_replicates():
        values: list[_Values] = [
            (pair, pair.base.data.get(metric.datum, ()), pair.head.data.get(metric.datum, ()))
            for pair in (pairs if metric.test is Test.EXACT else sound)
        ]
        if metric.test is Test.EXACT:
            for pair, base, head in values:
                if base and head and (pair.head.rebuilt or not metric.only_rebuilt):
                    outcomes.append(_exact(metric, pair, base[0], head[0]))
        elif metric.test is Test.BUILDS:
            repeated = [each for each in values if not _few(each[1], each[2], metric.fewest)]
            by_build: list[_Values] = [(pair, _builds(base), _builds(head)) for pair, base, head in repeated]
            outcomes += [_of_few_builds(metric, *each) for each in by_build if _few(each[1], each[2], metric.fewest)]
            outcomes += _varying(metric, by_build, part)
        elif metric.test is not Test.SUITE:
            outcomes += _varying(metric, values, part)
    return outcomes


def _varying(metric: Metric, values: Sequence[_Values], part: float) -> list[Outcome]:
    from inferkit.gate.rules.moderated import ModeratedRule  # needs scipy
    from inferkit.gate.stats.judge import Policy

    logs = [(pair, metric.logs(base), metric.logs(head)) for pair, base, head in values]
    chosen = [each for each in logs if not _few(each[1], each[2], metric.fewest)]
    suite = [LogSamples(pair.head.case, base, head, _margin(metric, pair, base)) for pair, base, head in chosen]
    alone = {} if metric.test is Test.SHARE else {"tolerance_share": 1.0}
    rule = ModeratedRule(analyses=(), policy=Policy(alpha=part * _ALPHA, **alone))
    judged = zip(chosen, rule.judge(suite), strict=True)
    return [_with_reason(_in_unit(metric, outcome), pair.stated(metric)) for (pair, _, _), outcome in judged]


def _margin(metric: Metric, pair: JudgedPair, base_logs: Sequence[float]) -> float:
    """The margin of a case whose values are judged on logarithms, as a share."""
    centre = math.exp(fmean(base_logs))
    return pair.margin_of(metric, 1 / centre if metric.higher_is_better else centre)


def _with_reason(outcome: Outcome, more: str) -> Outcome:
    return replace(outcome, reason="; ".join(filter(None, (outcome.reason, more)))) if more else outcome


def _in_unit(metric: Metric, outcome: Outcome) -> Outcome:
    """The outcome of this metric; small things differ a lot for reasons of their own: below the floor is no change."""
    base, head = outcome.base, outcome.head
    if metric.higher_is_better and base and head:
        base, head = 1 / base, 1 / head  # judged on negative logarithms
    outcome = replace(outcome, metric=metric.name, base=base, head=head)
    if not metric.floor or outcome.verdict is Verdict.PASS or abs((head or 0.0) - (base or 0.0)) > metric.floor:
        return outcome
    return replace(outcome, verdict=Verdict.PASS, reason=f"less than {metric.unit.show(metric.floor)} either way")


def _few(base: Sequence[float], head: Sequence[float], fewest: int) -> bool:
    """Whether base or head has fewer than `fewest`, or neither has enough to show its noise."""
    return min(len(base), len(head)) < fewest or max(len(base), len(head)) < FEWEST


def _builds(seconds: Sequence[float]) -> tuple[float, ...]:
    """One time for each build: processes that ran one engine all have the same."""
    return tuple(dict.fromkeys(seconds))


def _of_few_builds(metric: Metric, pair: JudgedPair, base: Sequence[float], head: Sequence[float]) -> Outcome:
    middles = median(base), median(head)
    change = middles[1] / middles[0] - 1 if middles[0] > 0 else 0.0
    # Who states a margin knows what builds differ by.
    margin = pair.margin_of(metric, middles[0]) if metric.name in pair.head.margins else FEW_BUILDS_MARGIN
    verdict = Verdict.PASS
    if abs(middles[1] - middles[0]) > FEW_BUILDS_FLOOR:
        if change > margin:
            verdict = Verdict.REGRESSED
        elif change < 1 / (1 + margin) - 1:
            verdict = Verdict.IMPROVED
    counts = f"builds {len(head)} against {len(base)}: how much builds differ is not known"
    outcome = Outcome(pair.head.case, metric.name, verdict, *middles, change, margin=margin, reason=counts)
    return _with_reason(outcome, pair.stated(metric))


def _amount(metric: Metric, value: float) -> str:
    return f"{value:,.0f} bytes" if metric.unit is Unit.BYTES else f"{value:.2g} points"


def _exact(metric: Metric, pair: JudgedPair, base: float, head: float) -> Outcome:
    margin, stated = pair.margin_of(metric, base), pair.head.margins.get(metric.name)
    better, worse = (head, base) if metric.higher_is_better else (base, head)  # as far as head is worse
    change = worse / better - 1 if better else (math.inf if worse else 0.0)
    # An amount is a share of no base of 0.
    amount = None if stated is None or stated.is_share else stated.amount
    verdict = verdict_beyond(change, margin) if amount is None else verdict_beyond(worse - better, amount)
    grown = head - base
    reason = f"{_amount(metric, abs(grown))} {'more' if grown > 0 else 'less'}"
    if verdict is Verdict.PASS and worse <= better:
        reason = ""
    shown = change if math.isfinite(change) and (base or not head) else None
    known = margin if math.isfinite(margin) else None
    outcome = Outcome(pair.head.case, metric.name, verdict, base, head, shown, margin=known, reason=reason)
    return _with_reason(outcome, pair.stated(metric))
