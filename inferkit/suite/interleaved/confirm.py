"""Screen, then confirm: what the stored baseline finds suspicious is measured in turns with the baseline's own commit.

A stored baseline is cheap and finds suspects; it cannot tell a slower machine from slower software. So a case is
measured again, blocks of base and head in turns, where the baseline did not show it to be within its margin, where it
could not be judged, where a faster machine may hide a slowdown, and where what its engine is made of is not what the
baseline was measured with. One of the others is too, by chance. Their verdicts rest on these blocks (rules/
interleaved.py). Where base cannot be had, what the stored baseline finds worse is SUSPECT, with the reason.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from inferkit.content_store import chosen_store
from inferkit.errors import InferkitError
from inferkit.gate.metrics import BUILD_TIME, Test, is_timed, named
from inferkit.gate.outcome import Outcome, Verdict, by_case
from inferkit.gate.rules.interleaved import MARGIN
from inferkit.gate.run import CaseRun, Run
from inferkit.measure.case import Case
from inferkit.measure.jobs.interpreter import Interpreter
from inferkit.suite.campaign.campaign import Campaign
from inferkit.suite.campaign.digests import digest_of_settings
from inferkit.suite.campaign.records import CaseRecord
from inferkit.suite.interleaved.base_commit import base_commits, environment_of_base, own_source_changed
from inferkit.suite.interleaved.commits import commit_side
from inferkit.suite.interleaved.run import ABResult, run_ab
from inferkit.suite.interleaved.sides import Side
from inferkit.suite.interleaved.worktree import checkout
from inferkit.suite.repository import repository_of
from inferkit.suite.sources import restore

_JUDGED = (Verdict.PASS, Verdict.REGRESSED, Verdict.IMPROVED, Verdict.INCONCLUSIVE)
_NOT_JUDGED = "the blocks of base and head do not show it"
_HINT = "make base measurable, or measure base and head in turns yourself: inferkit ab BASE HEAD"


class Why(StrEnum):
    """Why a case is measured in turns with base."""

    SUSPECT = "suspect"
    UNDECIDED = "could not be judged"
    CHANGED = "changed since base"
    HIDDEN = "the machine is faster than base's"
    ASKED = "asked for"
    SAMPLE = "sample"


@dataclass(frozen=True)
class _Base:
    """The commits that may be base of a fingerprint's baseline, or why there is none.

    `other_source`: the repository is inferkit's own, and it is another than at the first of them.
    """

    commits: tuple[str, ...] = ()
    reason: str = ""
    other_source: bool = False


@dataclass(frozen=True)
class _Chosen:
    record: CaseRecord
    why: Why


class Confirmation:
    """The second stage of one campaign. `budget` are the seconds that one case's blocks may take.

    `everything`: all cases are measured in turns, not only those that something speaks for. From the moment that it is
    made, the campaign leaves the suspects of a base that can be had to it.
    """

    def __init__(self, campaign: Campaign, matrix: Path, everything: bool = False, budget: float = math.inf) -> None:
        self._campaign = campaign
        self._matrix = matrix.resolve()
        self._everything = everything
        self._budget = budget
        self._bases: dict[str, _Base] = {}
        # By case id: why it cannot be confirmed, though its baseline's commit is there.
        self._unconfirmed: dict[str, str] = {}
        campaign.is_confirmed = lambda record: self._reason(record) == ""

    def run(self) -> list[str]:
        """Measure in turns what is to be, and give it its verdicts; returns lines for the report."""
        chosen = self._chosen()
        slugs = dict.fromkeys(each.record.slug for each in chosen)
        lines = [self._measured([each for each in chosen if each.record.slug == slug]) for slug in slugs]
        self._fall_back()
        return [line for line in lines if line]

    def _chosen(self) -> list[_Chosen]:
        """The cases that are measured in turns, and why."""
        candidates = [record for record in self._campaign.latency.values() if self._has_base(record)]
        reasons = [self._why(record) for record in candidates]
        latencies = self._campaign.matrix.cases()  # a service's processes take many times as long
        others = [number for number, why in enumerate(reasons) if why is None and candidates[number].case in latencies]
        if others:
            reasons[random.SystemRandom().choice(others)] = Why.SAMPLE
        return [_Chosen(record, why) for record, why in zip(candidates, reasons, strict=True) if why is not None]

    def _has_base(self, record: CaseRecord) -> bool:
        compared = record.outcome is not None and record.outcome.verdict is not Verdict.NO_BASELINE
        return compared and record.open and not record.base_ref and self._reason(record) == ""

    def _why(self, record: CaseRecord) -> Why | None:
        assert record.outcome is not None
        if self._everything:
            return Why.ASKED
        varying = [each for each in (record.outcome, *record.others) if _varies(each)]
        verdicts = {each.verdict for each in varying}
        if Verdict.REGRESSED in verdicts or self._exceeds(record.outcome):
            return Why.SUSPECT
        if verdicts & {Verdict.INCONCLUSIVE, Verdict.INVALID, Verdict.IMPROVED}:
            return Why.UNDECIDED
        if self._changed(record):
            return Why.CHANGED
        return Why.HIDDEN if self._hides(record) else None

    def _exceeds(self, outcome: Outcome) -> bool:
        return outcome.verdict is Verdict.INCONCLUSIVE and (outcome.change or 0.0) > 0.5 * (outcome.margin or 0.0)

    def _hides(self, record: CaseRecord) -> bool:
        """Whether a slowdown of the margin may be hidden by a machine that is faster than it was."""
        campaign, outcome = self._campaign, record.outcome
        movements = [kind.movements.get(record.slug) for kind in (campaign.references, campaign.memory_references)]
        faster = min([0.0, *(math.log1p(each.change) for each in movements if each is not None)])
        if outcome is None or outcome.upper is None or outcome.margin is None:
            return False
        return math.log1p(outcome.upper) - faster > math.log1p(outcome.margin)

    def _changed(self, record: CaseRecord) -> bool:
        """Whether the engine is made of something else than base's was; False where that is not known."""
        stored = self._campaign.baselines.case(record)
        if stored is None:
            return False
        pairs = ((stored.network, record.network_digest), (stored.settings, record.settings_digest))
        if any(base is not None and head is not None and base != head for base, head in pairs):
            return True
        return self._bases[record.slug].other_source

    def _reason(self, record: CaseRecord) -> str:
        """Why a case cannot be confirmed; empty where nothing is known to stand in the way."""
        if record.case.id in self._unconfirmed:
            return self._unconfirmed[record.case.id]
        if record.slug not in self._bases:
            self._bases[record.slug] = self._base(record)
        return self._bases[record.slug].reason

    def _base(self, record: CaseRecord) -> _Base:
        assert record.fingerprint is not None
        try:
            repository = repository_of(self._matrix.parent)
            baseline = self._campaign.baselines.find(record.fingerprint)
            if isinstance(baseline, str):
                return _Base(reason=baseline)
            commits = tuple(base_commits(repository, self._campaign.store.path(record.fingerprint), baseline.origin))
            return _Base(commits, other_source=own_source_changed(repository, commits[0]))
        except InferkitError as error:
            return _Base(reason=str(error))

    def _measured(self, chosen: Sequence[_Chosen]) -> str:
        """Measure these cases of one baseline in turns with its commit; the next one where that is not its base.

        Returns the line that says so.
        """
        left, parts = list(chosen), []
        for commit in self._bases[chosen[0].record.slug].commits:
            try:
                result = self._in_turns(commit, [each.record for each in left])
                outcomes: Mapping[str, Sequence[Outcome]] = by_case(result.outcomes)
            except InferkitError as error:
                for each in left:
                    self._not_with(commit, each.record, str(error))
                continue
            ended = [each for each in left if self._taken(each, commit, outcomes.get(each.record.case.id, ()), result)]
            left = [each for each in left if each not in ended]
            if ended:
                names = ", ".join(f"{each.record.case.id} ({each.why})" for each in ended)
                parts.append(f"measured in turns with {commit[:12]}: {names}")
            if not left:
                break
        return "; ".join(parts)

    def _taken(self, chosen: _Chosen, commit: str, outcomes: Sequence[Outcome], result: ABResult) -> bool:
        """Give a case what the blocks say of it; False, and why is kept, where they say nothing."""
        record = chosen.record
        if not outcomes:
            self._not_with(commit, record, "base's settings are not those that the baseline was measured with")
            return False
        latency, *others = outcomes
        if latency.verdict is Verdict.FAILED:
            record.failure = latency.reason
        elif latency.verdict in _JUDGED:
            _take(record, commit, chosen.why, latency, others, result)
        else:
            self._not_with(commit, record, latency.reason)
            return False
        self._unconfirmed.pop(record.case.id, None)
        return True

    def _not_with(self, commit: str, record: CaseRecord, reason: str) -> None:
        """Keep why a case cannot be measured in turns with this commit, beside what was said of an earlier one."""
        parts = (self._unconfirmed.get(record.case.id, ""), f"{commit[:12]}: {reason}")
        self._unconfirmed[record.case.id] = "; ".join(filter(None, parts))

    def _in_turns(self, commit: str, records: Sequence[CaseRecord]) -> ABResult:
        campaign = self._campaign
        networks = campaign.matrix.all_cases()
        # Where software changed, or somebody asks, as finely as A/B: what did not change is held to its own margin.
        finer = {record.case.id for record in records if self._everything or self._changed(record)}
        margins = {
            record.case.id: campaign.matrix.latency_margin(
                record.case, networks[record.case], MARGIN if record.case.id in finer else None
            )
            for record in records
        }
        stored = {record.case.id: campaign.baselines.case(record) for record in records}
        repository = repository_of(self._matrix.parent)
        with checkout(repository, commit) as folder:
            if self._matrix.is_relative_to(repository):
                self._restore(folder, self._matrix.parent.relative_to(repository), records)
            base = commit_side("BASE", folder, self._matrix, repository)
            by = base.by or Interpreter()
            if (python := environment_of_base(folder, repository)) is not None:
                by = replace(by, python=python, home=None)
            by.check()
            base = replace(base, by=by)
            wanted = {record.case for record in records if _same_settings(base, record.case, stored[record.case.id])}
            return run_ab(
                base,
                Side("HEAD", campaign.matrix, injected=campaign.settings.inject),
                wanted.__contains__,
                margin=margins.__getitem__,
                min_time=campaign.settings.min_time,
                seed=int(commit[:8], 16),
                budget=self._budget,
                networks={name: case.network for name, case in stored.items() if case and case.network},
                services=True,
                progress=campaign.progress,
            )

    def _restore(self, folder: Path, below: Path, records: Sequence[CaseRecord]) -> None:
        """Put the networks' files that git does not have into the checkout, as the baseline was measured with them."""
        fingerprint = records[0].fingerprint
        baseline = self._campaign.baselines.find(fingerprint) if fingerprint is not None else ""
        if isinstance(baseline, Run):
            store = chosen_store(self._campaign.matrix.suite.store)
            restore(baseline, folder, below, store, [record.case.id for record in records])

    def _fall_back(self) -> None:
        """What cannot be confirmed is judged by the stored baseline alone, and is SUSPECT where that finds it worse."""
        judged = [each for each in self._campaign.latency.values() if each.outcome is not None and not each.base_ref]
        if self._unconfirmed:
            self._campaign.judge([record for record in judged if record.open])
        for record in judged:
            if record.outcome is not None and (reason := self._reason(record)):
                record.outcome = _suspected(record.outcome, reason)
                record.others = tuple(_suspected(each, reason) for each in record.others)


def _same_settings(base: Side, case: Case, stored: CaseRun | None) -> bool:
    """Whether base is built and run as its baseline was, as far as that is known."""
    known = None if stored is None else stored.settings
    return known is None or digest_of_settings(base.matrix.settings(case.backend), case.mode) == known


def _varies(outcome: Outcome) -> bool:
    """Whether a metric varies from process to process: the others are the same wherever they are measured."""
    metric = named(outcome.metric)
    return metric is not None and metric.test not in (Test.EXACT, Test.PAIRED, Test.NONE)


def _take(
    record: CaseRecord, commit: str, why: Why, latency: Outcome, others: Sequence[Outcome], result: ABResult
) -> None:
    """The verdicts of the blocks for what varies, those of the stored baseline for the rest."""
    assert record.outcome is not None
    record.screened, record.confirmed = record.outcome, str(why)
    stages = f"measured in turns with {commit[:12]} ({why}); the stored baseline had said {_said(record.outcome)}"
    record.outcome = replace(latency, reason="; ".join(filter(None, (latency.reason, stages))))
    # Base and head are built once each: of how long that takes the screen knows more.
    varying = [each for each in others if _varies(each) and each.metric != BUILD_TIME]
    judged = {each.metric for each in varying}
    kept = [each if not _varies(each) else _suspected(each, _NOT_JUDGED) for each in record.others]
    record.others = (*varying, *(each for each in kept if each.metric not in judged))
    record.base_ref = commit
    record.base, record.replicates = (list(side) for side in result.replicates[record.case.id])
    record.why = result.layers.get(record.case.id)


def _said(outcome: Outcome) -> str:
    change = "" if outcome.change is None else f" at {outcome.shown_change(outcome.change)}"
    return f"{outcome.verdict}{change}"


def _suspected(outcome: Outcome, reason: str) -> Outcome:
    """SUSPECT, where a time is worse than the stored baseline and nothing can confirm it."""
    if outcome.verdict is not Verdict.REGRESSED or not is_timed(outcome.metric):
        return outcome
    text = "; ".join(filter(None, (outcome.reason, f"not confirmed: {reason}")))
    return replace(outcome, verdict=Verdict.SUSPECT, reason=text, hint=outcome.hint or _HINT)
