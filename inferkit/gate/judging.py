"""Is head worse than base: one function for the suite, comparisons of files, A/B runs, promotions and the history.

Every case of base or head gets an outcome of each metric that both have, in these steps: the evidence of each case; the
rule over the whole suite; the layers that explain a changed latency; the metrics beside the latency; what the reference
network says of the machine; the cases that only one of the two has, and those that failed; the accuracies. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from inferkit.gate.accuracy import judge_accuracy
from inferkit.gate.builds import comparable, judge_levels
from inferkit.gate.layer_diff import LayerDiff, explain
from inferkit.gate.metrics import ACCURACY, ACCURACY_TOLERANCE, COMPARED_MARGIN, LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.reference import Beside, Movement
from inferkit.gate.rules.beside_latency import Pair, judge_metrics
from inferkit.gate.rules.default import default_rule
from inferkit.gate.rules.rule import LogSamples, Rule
from inferkit.gate.run import CaseRun, Run

# The margin of a case id, None where it is not stated.
Margins = Callable[[str], float | None]


def not_stated(case: str) -> float | None:
    """The Margins that state none."""
    return None


@dataclass(frozen=True)
class Judgements:
    """Outcomes of every case of base or head, and what explains them.

    `layers` are the layers that explain a changed latency, by case. `movements` are those of the reference networks by
    fingerprint slug, `remarks` what they say of the machine, a line each.
    """

    outcomes: tuple[Outcome, ...] = ()
    layers: Mapping[str, LayerDiff] = field(default_factory=dict)
    movements: Mapping[str, Movement] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def of(self, case: str, metric: str = LATENCY) -> Outcome | None:
        """The outcome of one metric of one case, None where it was not judged."""
        return next((each for each in self.outcomes if (each.case, each.metric) == (case, metric)), None)


def judge(
    base: Run,
    head: Run,
    *,
    margins: Margins = not_stated,
    default_margin: float = COMPARED_MARGIN,
    tolerance: float | None = None,
    rule: Rule | None = None,
    family: int | None = None,
    absent: Mapping[str, str] | None = None,
) -> Judgements:
    """Judge every case of either run, all metrics, over the whole suite at once.

    The margin of a case is what `margins` states, else its own in `head`, else `default_margin`; `tolerance` (points of
    top-1) likewise. `rule` carries the error budget of the latencies (None: that of what cannot be measured further);
    `family` is how many cases share the errors where these are only some of them. `absent` says why base lacks a case.
    """
    rule = rule or default_rule(measuring=False)
    samples = [_samples(base, case, margins, default_margin, head, absent or {}) for case in head.cases.values()]
    both = {each.case: each for each in samples if each.case in base.cases}
    engines = {
        name: case.several_builds or (name in both and base.cases[name].several_builds)
        for name, case in head.cases.items()
    }
    outcomes, layers = _explained(judge_levels(rule, samples, engines), base, head)
    pairs = [_pair(base.cases[name], head.cases[name], each.margin) for name, each in both.items() if not each.invalid]
    outcomes += judge_metrics(pairs, family)
    movements, remarks = {}, []
    for slug in head.references:
        mine = {each.case: each for each in samples if head.cases[each.case].fingerprint == slug and each.comparable}
        beside = _beside(base, head, slug, list(mine.values()), default_margin, rule)
        if beside is None:
            continue
        movements[slug] = beside.overall
        outcomes = [
            _moved(beside, head, outcome).blamed(outcome) if outcome.case in mine else outcome for outcome in outcomes
        ]
        line = beside.overall.line([outcome for outcome in outcomes if outcome.case in mine])
        remarks += [line] if line else []
    failed = {name: reason for name, reason in head.failures.items() if name not in head.cases}
    outcomes += [_missing(name, LATENCY, failed) for name in base.cases if name not in head.cases]
    outcomes += _accuracies(base, head, tolerance, absent or {}, failed)
    known = {outcome.case for outcome in outcomes}
    metrics = {outcome.case: outcome.metric for outcome in head.outcomes if outcome.verdict is Verdict.FAILED}
    outcomes += [
        _failed(name, metrics.get(name, LATENCY), reason) for name, reason in failed.items() if name not in known
    ]
    return Judgements(tuple(outcomes), layers, movements, tuple(remarks))


def _samples(
    base: Run, case: CaseRun, margins: Margins, default_margin: float, head: Run, absent: Mapping[str, str]
) -> LogSamples:
    stated = margins(case.case)
    margin = stated if stated is not None else case.margin if case.margin is not None else default_margin
    invalid = [run.invalid[case.case] for run in (base, head) if case.case in run.invalid]
    former = base.cases.get(case.case)
    if former is None:
        return LogSamples(case.case, (), case.log_medians, margin, _lacking(base, case.case, absent), tuple(invalid))
    if case.fingerprint != former.fingerprint:
        differences = base.fingerprints[former.fingerprint].differences(head.fingerprints[case.fingerprint])
        invalid.append(f"measured on something else ({'; '.join(differences)})")
    data = comparable(former.log_medians, former.builds, case.log_medians, case.builds)
    return LogSamples(case.case, *data, margin, invalid=tuple(invalid))


def _lacking(base: Run, name: str, absent: Mapping[str, str]) -> str:
    """Why base has no such case."""
    if name in base.failures:
        return f"it failed in base: {base.failures[name]}"
    return absent.get(name, "only head has it")


def _pair(base: CaseRun, head: CaseRun, margin: float) -> Pair:
    """Where only one was measured on several builds, the time of a build is of another kind."""
    return Pair(base, head if base.several_builds == head.several_builds else head.without_building(), margin)


def _explained(outcomes: Sequence[Outcome], base: Run, head: Run) -> tuple[list[Outcome], dict[str, LayerDiff]]:
    explained, layers = [], {}
    for outcome in outcomes:
        former = base.cases.get(outcome.case)
        outcome, diff = explain(outcome, former.layers if former else (), head.cases[outcome.case].layers)
        explained.append(outcome)
        if diff is not None:
            layers[outcome.case] = diff
    return explained, layers


def _beside(
    base: Run, head: Run, slug: str, cases: Sequence[LogSamples], default_margin: float, rule: Rule
) -> Beside | None:
    """What the reference network of one kind of machine says; None where base and head have not the same."""
    reference, former = head.references[slug], base.references.get(slug)
    if former is None or former.case != reference.case:
        return None
    margin = default_margin if reference.margin is None else reference.margin
    samples = LogSamples(reference.case, former.log_medians, reference.log_medians, margin)
    return Beside(samples, cases, rule.evidence) if samples.comparable else None


def _moved(beside: Beside, head: Run, outcome: Outcome) -> Movement:
    """The movement that this outcome is to be held against; replicates of several files have no common order."""
    return beside.of(len(head.cases[outcome.case].log_medians)) if head.files == 1 else beside.overall


def _missing(case: str, metric: str, failed: Mapping[str, str]) -> Outcome:
    """What base has and head has not: where head tried and failed, that is its verdict."""
    if case in failed:
        return _failed(case, metric, failed[case])
    return Outcome(case, metric, Verdict.MISSING, reason="base has it, head has not")


def _failed(case: str, metric: str, reason: str) -> Outcome:
    return Outcome(case, metric, Verdict.FAILED, reason=reason or "it could not be measured")


def _accuracies(
    base: Run, head: Run, tolerance: float | None, absent: Mapping[str, str], failed: Mapping[str, str]
) -> list[Outcome]:
    outcomes = [_missing(name, ACCURACY, failed) for name in base.accuracy if name not in head.accuracy]
    for name, found in head.accuracy.items():
        former = base.accuracy.get(name)
        if former is not None:
            outcomes.append(judge_accuracy(former, found, tolerance or found.margin or ACCURACY_TOLERANCE))
        elif found.not_finite:
            reason = f"{found.not_finite} outputs of {found.images} are not finite numbers"
            outcomes.append(Outcome(name, ACCURACY, Verdict.REGRESSED, head=found.top1, reason=reason))
        else:
            reason = _lacking(base, name, absent)
            outcomes.append(Outcome(name, ACCURACY, Verdict.NO_BASELINE, head=found.top1, reason=reason))
    return outcomes
