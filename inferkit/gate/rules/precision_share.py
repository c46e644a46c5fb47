"""Does an engine compute in the precision that was asked for: the least share of the work that must, by the matrix.

Needs no base. A case below it FAILS with the layers that ran in another precision, the largest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from inferkit.backends.precision_share import named
from inferkit.gate.metrics import METRICS, PRECISION_SHARE
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.run import CaseRun

_ROUNDING = 1e-9  # percent
_HINT = (
    "leave these layers out when the precision is applied, or state what is meant as `precision_share` in the matrix"
)


def judge_shares(outcomes: Sequence[Outcome], head: Iterable[CaseRun]) -> list[Outcome]:
    """The outcomes, in which cases with less than their least share FAIL; the layers are named wherever it is less."""
    cases = {case.case: case for case in head}
    judged = [_named(outcome, cases) if outcome.metric == PRECISION_SHARE else outcome for outcome in outcomes]
    compared = {outcome.case: outcome for outcome in judged if outcome.metric == PRECISION_SHARE}
    failing = [failed for case in cases.values() if (failed := _failed(case, compared.get(case.case))) is not None]
    short = {outcome.case for outcome in failing}
    return [each for each in judged if each.metric != PRECISION_SHARE or each.case not in short] + failing


def _failed(case: CaseRun, compared: Outcome | None) -> Outcome | None:
    """What a case FAILED as, with what it was compared with; None where enough of it runs as asked."""
    share = next(iter(case.values(METRICS[PRECISION_SHARE])), None)
    if share is None or case.least_share is None or share >= case.least_share - _ROUNDING:
        return None
    reason = f"less than the {case.least_share:g} % that must run in the precision asked for"
    if case.other_precisions:
        reason += f"; elsewhere: {named(case.other_precisions)}"
    outcome = compared or Outcome(case.case, PRECISION_SHARE, Verdict.FAILED, head=share)
    return replace(outcome, verdict=Verdict.FAILED, reason=reason, hint=_HINT)


def _named(outcome: Outcome, cases: dict[str, CaseRun]) -> Outcome:
    others = cases[outcome.case].other_precisions if outcome.case in cases else ()
    if outcome.verdict is not Verdict.REGRESSED or not others:
        return outcome
    return replace(outcome, reason="; ".join(filter(None, (outcome.reason, f"elsewhere: {named(others)}"))))
