"""Comparing benchmark files case by case: what is in both is judged, what is in one only has its own verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from inferkit.gate.accuracy import judge_pair
from inferkit.gate.builds import comparable, judge_levels
from inferkit.gate.files.pooling import is_of_replicates, pooled_case, pooled_references
from inferkit.gate.files.run_file import RunAccuracy, RunCase, RunFile, RunReference
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.layer_diff import LayerDiff, explain
from inferkit.gate.margins import ACCURACY_TOLERANCE, COMPARED_MARGIN
from inferkit.gate.outcome import ACCURACY, LATENCY, Outcome, Verdict, by_case, deciding
from inferkit.gate.reference import moved_between
from inferkit.gate.rules.default import default_rule
from inferkit.gate.rules.rule import CaseLatency, Rule
from inferkit.gate.side import SideCase, SideFacts, judge_sides
from inferkit.measure.layers.table import readable_table

EXIT_PASS, EXIT_REGRESSED, EXIT_INVALID, EXIT_INCONCLUSIVE, EXIT_NOTHING = 0, 1, 10, 11, 12

_JUDGED = (Verdict.PASS, Verdict.REGRESSED, Verdict.IMPROVED, Verdict.INCONCLUSIVE, Verdict.INVALID)

# The margin of a case id, None where it is not stated.
Margins = Callable[[str], float | None]


@dataclass(frozen=True)
class Comparison:
    """Outcomes of every case of either side, and remarks on what the files cannot tell.

    `layers` are the layers that explain a changed latency, by case, where both sides have their layer tables.
    """

    outcomes: tuple[Outcome, ...]
    remarks: tuple[str, ...] = ()
    layers: Mapping[str, LayerDiff] = field(default_factory=dict)

    def exit_code(self, strict: bool = False) -> int:
        """0 no regression · 1 regression · 10 other fingerprint or invalid · 11 undecided, strict · 12 nothing.

        Each case counts by its verdict, as a test of the suite does.
        """
        if not any(outcome.verdict in _JUDGED for outcome in self.outcomes):
            return EXIT_NOTHING
        verdicts = {deciding(of_case).verdict for of_case in by_case(self.outcomes).values()}
        if Verdict.REGRESSED in verdicts:
            return EXIT_REGRESSED
        if Verdict.INVALID in verdicts:
            return EXIT_INVALID
        if strict and verdicts & {Verdict.INCONCLUSIVE, Verdict.MISSING}:
            return EXIT_INCONCLUSIVE
        return EXIT_PASS


@dataclass(frozen=True, eq=False)
class _Side:
    """Several files of one side as one: the replicates of a case are pooled."""

    cases: Mapping[str, RunCase]
    accuracy: Mapping[str, RunAccuracy]
    fingerprints: Mapping[str, Fingerprint]
    mixed: Mapping[str, str]
    invalid: Mapping[str, str]
    references: Mapping[str, RunReference]
    failures: Mapping[str, str]


def compare(
    base: Sequence[RunFile],
    head: Sequence[RunFile],
    *,
    margins: Margins = lambda case: None,
    tolerance: float | None = None,
    rule: Rule | None = None,
) -> Comparison:
    """Compare `head` with `base`; several files of a side are replicates. `tolerance` of top-1 in points.

    A margin that `margins` does not state is the one in head's file, else COMPARED_MARGIN.
    """
    one, other = _side(base), _side(head)
    both = [case for case in one.cases if case in other.cases]
    evidence = [_evidence(case, one, other, margins) for case in both]
    rebuilt = {case: bool(one.cases[case].builds or other.cases[case].builds) for case in both}
    judged = judge_levels(rule or default_rule(measuring=False), evidence, rebuilt)
    outcomes, layers = _explained(judged, one, other)
    invalid = {case.case for case in evidence if case.invalid}
    outcomes += judge_sides(
        [side_case(c.case, other.cases[c.case], one.cases[c.case], c.margin) for c in evidence if c.case not in invalid]
    )
    outcomes, told = _machines(outcomes, evidence, one, other)
    outcomes += [_missing(case, LATENCY, other) for case in one.cases if case not in other.cases]
    outcomes += [_new(case, LATENCY, one) for case in other.cases if case not in one.cases]
    outcomes += _accuracies(one, other, tolerance)
    return Comparison(tuple(outcomes), (*_remarks([*base, *head]), *told), layers)


def _explained(outcomes: list[Outcome], base: _Side, head: _Side) -> tuple[list[Outcome], dict[str, LayerDiff]]:
    told, layers = [], {}
    for outcome in outcomes:
        before, now = (readable_table(side.cases[outcome.case].facts.get("layers")) for side in (base, head))
        outcome, diff = explain(outcome, before, now)
        told.append(outcome)
        if diff is not None:
            layers[outcome.case] = diff
    return told, layers


def _side(files: Sequence[RunFile]) -> _Side:
    cases: dict[str, RunCase] = {}
    mixed: dict[str, str] = {}
    fingerprints = {slug: fingerprint for file in files for slug, fingerprint in file.fingerprints.items()}
    for file in files:
        for name, case in file.cases.items():
            known = cases.get(name)
            if known is None:
                cases[name] = case
                continue
            if known.fingerprint != case.fingerprint:
                differences = fingerprints[known.fingerprint].differences(fingerprints[case.fingerprint])
                mixed[name] = f"the files of one side are of different machines ({'; '.join(differences)})"
            cases[name] = pooled_case(known, case)
    accuracy = {name: found for file in files for name, found in file.accuracy.items()}
    invalid = {
        outcome.case: f"{file.name}: {outcome.reason or 'measured as INVALID'}"
        for file in files
        for outcome in file.outcomes
        if outcome.verdict is Verdict.INVALID and outcome.machine is None and is_of_replicates(file, outcome)
    }
    failures = {name: f"{file.name}: {reason}" for file in files for name, reason in file.failures.items()}
    return _Side(cases, accuracy, fingerprints, mixed, invalid, pooled_references(files), failures)


def _machines(
    outcomes: Sequence[Outcome], evidence: Sequence[CaseLatency], base: _Side, head: _Side
) -> tuple[list[Outcome], list[str]]:
    """The outcomes as the reference networks leave them, and what they say of each kind of machine."""
    found, told = list(outcomes), []
    for slug, now in head.references.items():
        before = base.references.get(slug)
        if before is None or before.name != now.name:
            continue
        mine = {case.case: case for case in evidence if head.cases[case.case].fingerprint == slug and not case.invalid}
        margin = COMPARED_MARGIN if now.margin is None else now.margin
        others = [(case.baseline, case.now) for case in mine.values()]
        moved = moved_between(now.name, before.log_medians, now.log_medians, others, margin)
        found = [moved.blamed(outcome) if outcome.case in mine else outcome for outcome in found]
        line = moved.line([outcome for outcome in found if outcome.case in mine])
        told += [line] if line else []
    return found, told


def _evidence(case: str, base: _Side, head: _Side, margins: Margins) -> CaseLatency:
    here, there = head.cases[case], base.cases[case]
    stated = margins(case)
    margin = stated if stated is not None else here.margin if here.margin is not None else COMPARED_MARGIN
    invalid = [side.mixed[case] for side in (base, head) if case in side.mixed]
    invalid += [side.invalid[case] for side in (base, head) if case in side.invalid]
    if here.fingerprint != there.fingerprint:
        differences = head.fingerprints[here.fingerprint].differences(base.fingerprints[there.fingerprint])
        invalid.append(f"measured on something else ({'; '.join(differences)})")
    now, before = comparable(here.log_medians, here.builds, there.log_medians, there.builds)
    return CaseLatency(case, now, before, margin, invalid=tuple(invalid))


def side_case(name: str, here: RunCase, there: RunCase, margin: float) -> SideCase:
    """What `judge_sides` compares of a case that was measured here, and before that there."""
    now, before = SideFacts.of(here.facts), SideFacts.of(there.facts)
    if bool(here.builds) != bool(there.builds):
        now = now.without_building()
    return SideCase(name, now, before, margin, here.facts.get("backend") == "tensorrt")


def _missing(case: str, metric: str, head: _Side) -> Outcome:
    """What base has and head has not; where head tried and failed, it is as little a pass as what was mismeasured."""
    if case in head.failures:
        return Outcome(case, metric, Verdict.INVALID, reason=f"it failed in {head.failures[case]}")
    return Outcome(case, metric, Verdict.MISSING, reason="the first has it, the second has not")


def _new(case: str, metric: str, base: _Side) -> Outcome:
    reason = f"it failed in {base.failures[case]}" if case in base.failures else "only the second has it"
    return Outcome(case, metric, Verdict.NO_BASELINE, reason=reason)


def _accuracies(base: _Side, head: _Side, tolerance: float | None) -> list[Outcome]:
    """Every accuracy case, image by image; those of other images cannot be paired and are INVALID."""
    outcomes = []
    for name, there in base.accuracy.items():
        here = head.accuracy.get(name)
        if here is None:
            outcomes.append(_missing(name, ACCURACY, head))
        elif (here.dataset, here.images) != (there.dataset, there.images):
            reason = f"other images ({here.images} of {here.dataset}, there {there.images} of {there.dataset})"
            outcomes.append(Outcome(name, ACCURACY, Verdict.INVALID, there.top1, here.top1, reason=reason))
        else:
            limit = tolerance or here.tolerance or ACCURACY_TOLERANCE
            outcomes.append(judge_pair(name, there.right, here.right, limit))
    return outcomes + [_new(name, ACCURACY, base) for name in head.accuracy if name not in base.accuracy]


def _remarks(files: Sequence[RunFile]) -> tuple[str, ...]:
    remarks = []
    foreign = [file.name for file in files if not file.ours]
    if foreign:
        remarks.append(
            f"{', '.join(foreign)}: no replicates of inferkit; the median of all rounds stands for the file"
            + (" as one replicate" if len(files) > 2 else ", and how much processes differ is not known")
        )
    remarks += [f"{file.name}: made with --benchmark-disable; its times say nothing" for file in files if file.smoke]
    return tuple(remarks)
