"""Waivers: what is known to be worse is measured and named, and fails nothing until a date; somebody answers for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import Any

from inferkit.gate.outcome import FAILING, Outcome, Verdict, by_case
from inferkit.gate.stated.margins import canonical

_SOUND = (Verdict.PASS, Verdict.IMPROVED)


@dataclass(frozen=True)
class Waiver:
    """Patterns of a case's id, of a metric and of a fingerprint's slug (`machine`), why and who, and the last day it
    holds. `where` is its place in the file."""

    case: str
    metric: str
    reason: str
    owner: str
    expires: date
    where: str = field(default="", compare=False)
    machine: str = "*"

    def covers(self, case: str, metric: str) -> bool:
        """Whether it is about this metric of this case."""
        return fnmatchcase(case, self.case) and fnmatchcase(metric, canonical(self.metric))

    def holds_on(self, slug: str) -> bool:
        """Whether it is about the machine and backend of this fingerprint."""
        return fnmatchcase(slug, self.machine)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        names = ("case", "metric", "machine", "reason", "owner", "where")
        return {**{name: getattr(self, name) for name in names}, "expires": self.expires.isoformat()}


def today() -> date:
    """The day in UTC: the same on every runner."""
    return datetime.now(UTC).date()


def waived(
    outcomes: Iterable[Outcome],
    waivers: Sequence[Waiver],
    on: date,
    failing: Collection[Verdict] = FAILING,
) -> tuple[Outcome, ...]:
    """The outcomes; of those that fail (`failing`) the ones that a waiver covers are WAIVED.

    What could not be measured cannot be waived. The reason keeps the verdict. Where the only waivers have expired by
    the day `on`, the verdict stays and says so.
    """
    return tuple(_waived(outcome, waivers, on, failing) for outcome in outcomes)


def _waived(outcome: Outcome, waivers: Sequence[Waiver], on: date, failing: Collection[Verdict]) -> Outcome:
    if outcome.verdict not in failing or outcome.is_unmeasured:
        return outcome
    matching = [waiver for waiver in waivers if waiver.covers(outcome.case, outcome.metric)]
    for waiver in matching:
        if waiver.expires >= on:
            reason = f"{outcome.verdict}, waived by {waiver.owner} until {waiver.expires}: {waiver.reason}"
            return replace(outcome, verdict=Verdict.WAIVED, reason=_joined(reason, outcome.reason))
    for waiver in matching[:1]:
        reason = f"the waiver of {waiver.owner} expired on {waiver.expires}"
        if reason not in outcome.reason:
            return replace(outcome, reason=_joined(outcome.reason, reason))
    return outcome


def _joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def needless(
    waiver: Waiver,
    outcomes: Sequence[Outcome],
    on: date,
    *,
    whole: bool,
    failing: Collection[Verdict] = FAILING,
) -> str:
    """Why a waiver must go, in a line; empty where it is needed, or nothing shows that it is not.

    `outcomes` are those of a run, waived already; `whole`: all cases that it may be about were measured in it.
    """
    covered = [outcome for outcome in outcomes if waiver.covers(outcome.case, outcome.metric)]
    if any(outcome.verdict is Verdict.WAIVED or outcome.verdict in failing for outcome in covered):
        return ""
    name = f"{waiver.where} the waiver of {waiver.owner} for {waiver.metric} of {waiver.case}"
    if waiver.expires < on and covered:
        return f"{name} expired on {waiver.expires}, and nothing fails that it is about: remove it"
    # A case that could not be judged may fail again tomorrow, and so may a metric of too few replicates.
    cases = by_case(outcome for outcome in outcomes if fnmatchcase(outcome.case, waiver.case))
    figures = [[each for each in of_case if each in covered] or of_case for of_case in cases.values()]
    if not whole or not covered or any(each.verdict not in _SOUND for of_case in figures for each in of_case):
        return ""
    return f"{name} is not needed: it passes now; remove it"
