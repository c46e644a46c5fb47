"""Is head worse than base: one function for the suite, comparisons of files, A/B runs, promotions and the history.

Every case of base or head gets an outcome of each metric that both have, in these steps: the evidence of each case; the
rule over the whole suite; the layers that explain a changed latency; the metrics beside the latency; what must run in
the precision asked for; what the reference network says of the machine; the cases that only one of the two has, and
those that failed; the accuracies. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from inferkit.gate.accuracy import judge_accuracy, not_finite
from inferkit.gate.builds import comparable, judge_levels
from inferkit.gate.layer_diff import LayerDiff, explain
from inferkit.gate.metrics import ACCURACY, ACCURACY_TOLERANCE, COMPARED_MARGIN, LATENCY
from inferkit.gate.outcome import Outcome, Verdict, failed
from inferkit.gate.reference import ARITHMETIC, MEMORY, Beside, Movement, explained
from inferkit.gate.rules.beside_latency import JudgedPair, judge_metrics
from inferkit.gate.rules.outputs import judge_outputs
from inferkit.gate.rules.precision_share import judge_shares
from inferkit.gate.rules.rule import LogSamples, Rule
from inferkit.gate.run import CaseRun, Run


@dataclass(frozen=True)
class Judgements:
    """Outcomes of every case of base or head, and what explains them.

    `layers` are the layers that explain a changed latency, by case. `movements` are those of the reference networks by
    fingerprint slug, `memory_movements` those of the ones that the memory bounds, `remarks` what they say of the
    machine, a line each.
    """

    outcomes: tuple[Outcome, ...] = ()
    layers: Mapping[str, LayerDiff] = field(default_factory=dict)
    movements: Mapping[str, Movement] = field(default_factory=dict)
    memory_movements: Mapping[str, Movement] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def of(self, case: str, metric: str = LATENCY) -> Outcome | None:
        """The outcome of one metric of one case, None where it was not judged."""
        return next((each for each in self.outcomes if (each.case, each.metric) == (case, metric)), None)


def default_rule(measuring: bool = True) -> Rule:
    """The rule of `pytest bench`; without `measuring`, of `inferkit compare` and `inferkit baseline promote`.

    What cannot be measured further is analysed once, so its whole error is spent on that analysis.
    """
    from inferkit.gate.rules.moderated import ModeratedRule  # needs scipy, which collecting cases must not wait for

    return ModeratedRule() if measuring else ModeratedRule(analyses=())


def judge(
    base: Run,
    head: Run,
    *,
    default_margin: float = COMPARED_MARGIN,
    rule: Rule | None = None,
    family: int | None = None,
    absent: Mapping[str, str] | None = None,
) -> Judgements:
    """Judge every case of either run, all metrics, over the whole suite at once.

    The margin of a case is its own in `head`, else `default_margin`; the tolerance of an accuracy likewise, else
    ACCURACY_TOLERANCE. `rule` carries the error budget of the latencies (None: that of what cannot be measured
    further); `family` is how many cases share the errors where these are only some of them. `absent` says why base
    lacks a case.
    """
    rule, absent = rule or default_rule(measuring=False), absent or {}
    samples = [_samples(base, head, case, default_margin, absent) for case in head.cases.values()]
    both = {each.case: each for each in samples if each.case in base.cases}
    of_engines = {name for run in (base, head) for name, case in run.cases.items() if case.several_builds}
    outcomes, layers = _explained(judge_levels(rule, samples, of_engines), base, head)
    pairs = [
        _pair(base.cases[name], head.cases[name], each)
        for name, each in both.items()
        if not each.invalid or _only_spoiled(base, head, name)
    ]
    outcomes += judge_metrics(pairs, family)
    outcomes += judge_outputs([(base.cases[name], head.cases[name]) for name in both])
    outcomes = judge_shares(outcomes, head.cases.values())
    movements: dict[str, dict[str, Movement]] = {ARITHMETIC: {}, MEMORY: {}}
    remarks = []
    for slug in dict.fromkeys([*head.references, *head.memory_references]):
        mine = {each.case: each for each in samples if head.cases[each.case].fingerprint == slug and each.comparable}
        besides = _besides(base, head, slug, list(mine.values()), default_margin, rule)
        outcomes = [
            explained([_moved(beside, head, outcome) for beside in besides], outcome)
            if outcome.case in mine
            else outcome
            for outcome in outcomes
        ]
        for beside in besides:
            movements[beside.overall.which][slug] = beside.overall
            line = beside.overall.line([outcome for outcome in outcomes if outcome.case in mine])
            remarks += [line] if line else []
    failures = {name: reason for name, reason in head.failures.items() if name not in head.cases}
    outcomes += _missing(head, LATENCY, base.cases, head.cases, failures)
    outcomes += _accuracies(base, head, absent, failures)
    known = {outcome.case for outcome in outcomes}
    metrics = {outcome.case: outcome.metric for outcome in head.outcomes if outcome.verdict is Verdict.FAILED}
    outcomes += [
        failed(name, metrics.get(name, LATENCY), reason) for name, reason in failures.items() if name not in known
    ]
    return Judgements(tuple(outcomes), layers, movements[ARITHMETIC], movements[MEMORY], tuple(remarks))


def _samples(base: Run, head: Run, case: CaseRun, default_margin: float, absent: Mapping[str, str]) -> LogSamples:
    margin = default_margin if case.margin is None else case.margin
    invalid = [run.invalid[case.case] for run in (base, head) if case.case in run.invalid]
    stored = base.cases.get(case.case)
    if stored is None:
        return LogSamples(case.case, (), case.log_medians, margin, _lacking(base, case.case, absent), tuple(invalid))
    if case.fingerprint != stored.fingerprint:
        differences = base.fingerprints[stored.fingerprint].differences(head.fingerprints[case.fingerprint])
        invalid.append(f"measured on something else ({'; '.join(differences)})")
    return LogSamples(case.case, *comparable(stored, case), margin, invalid=tuple(invalid))


def _lacking(base: Run, name: str, absent: Mapping[str, str]) -> str:
    """Why base has no such case."""
    if name in base.failures:
        return f"it failed in base: {base.failures[name]}"
    return absent.get(name, "base was not asked for it" if base.narrowed else "only head has it")


def _only_spoiled(base: Run, head: Run, name: str) -> bool:
    """Whether a case is INVALID for the state of the machine alone: of several files it may be for other machines."""
    return base.files == head.files == 1 and base.cases[name].fingerprint == head.cases[name].fingerprint


def _pair(base: CaseRun, head: CaseRun, samples: LogSamples) -> JudgedPair:
    """Where only one was measured on several builds, the time of a build is of another kind."""
    head = head if base.several_builds == head.several_builds else head.without_building()
    return JudgedPair(base, head, samples.margin, spoiled=bool(samples.invalid))


def _explained(outcomes: Sequence[Outcome], base: Run, head: Run) -> tuple[list[Outcome], dict[str, LayerDiff]]:
    explained, layers = [], {}
    for outcome in outcomes:
        stored = base.cases.get(outcome.case)
        outcome, diff = explain(outcome, stored.layers if stored else (), head.cases[outcome.case].layers)
        explained.append(outcome)
        if diff is not None:
            layers[outcome.case] = diff
    return explained, layers


def _besides(
    base: Run, head: Run, slug: str, cases: Sequence[LogSamples], default_margin: float, rule: Rule
) -> list[Beside]:
    """What the reference networks of one kind of machine say; those that base and head both have."""
    besides = []
    for which, stored, measured in (
        (ARITHMETIC, base.references.get(slug), head.references.get(slug)),
        (MEMORY, base.memory_references.get(slug), head.memory_references.get(slug)),
    ):
        if stored is None or measured is None or stored.case != measured.case:
            continue
        margin = default_margin if measured.margin is None else measured.margin
        samples = LogSamples(measured.case, stored.log_medians, measured.log_medians, margin)
        besides += [Beside(samples, cases, rule.evidence, which)] if samples.comparable else []
    return besides


def _moved(beside: Beside, head: Run, outcome: Outcome) -> Movement:
    """The movement that this outcome is to be held against; replicates of several files have no common order."""
    return beside.of(len(head.cases[outcome.case].log_medians)) if head.files == 1 else beside.overall


def _missing(
    head: Run, metric: str, in_base: Iterable[str], in_head: Collection[str], failures: Mapping[str, str]
) -> list[Outcome]:
    """What base has and head has not: where head tried and failed, that is its verdict. A narrowed run misses nothing:
    it was not asked for them.
    """
    absent = [name for name in in_base if name not in in_head]
    outcomes = [failed(name, metric, failures[name]) for name in absent if name in failures]
    if head.narrowed:
        return outcomes
    reason = "base has it, head has not"
    return outcomes + [Outcome(name, metric, Verdict.MISSING, reason=reason) for name in absent if name not in failures]


def _accuracies(base: Run, head: Run, absent: Mapping[str, str], failures: Mapping[str, str]) -> list[Outcome]:
    outcomes = _missing(head, ACCURACY, base.accuracy, head.accuracy, failures)
    for name, accuracy in head.accuracy.items():
        stored = base.accuracy.get(name)
        if stored is not None:
            outcomes.append(judge_accuracy(stored, accuracy, accuracy.margin or ACCURACY_TOLERANCE))
            continue
        verdict, reason = Verdict.NO_BASELINE, _lacking(base, name, absent)
        if accuracy.not_finite:
            verdict, reason = Verdict.REGRESSED, not_finite(accuracy)
        margin = accuracy.margin or ACCURACY_TOLERANCE
        outcomes.append(Outcome(name, ACCURACY, verdict, head=accuracy.top1, margin=margin, reason=reason))
    return outcomes
