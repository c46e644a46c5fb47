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
_HINT = "state less as `precision_share` in the matrix, or give it a model that leaves these layers as they are"


def judge_shares(outcomes: Sequence[Outcome], head: Iterable[CaseRun]) -> list[Outcome]:
    """The outcomes, with FAILED of the cases that have less than their least share; what lost some of it says where."""
    cases = {case.case: case for case in head}
    compared = {outcome.case for outcome in outcomes if outcome.metric == PRECISION_SHARE}
    judged = [
        _judged(cases[each.case], each) if each.metric == PRECISION_SHARE and each.case in cases else each
        for each in outcomes
    ]
    alone = (_failed(case, None) for name, case in cases.items() if name not in compared)
    return [*judged, *(outcome for outcome in alone if outcome is not None)]


def _judged(case: CaseRun, compared: Outcome) -> Outcome:
    failed = _failed(case, compared)
    if failed is not None or compared.verdict is not Verdict.REGRESSED:
        return failed or compared
    return replace(compared, reason="; ".join(filter(None, (compared.reason, _elsewhere(case)))))


def _failed(case: CaseRun, compared: Outcome | None) -> Outcome | None:
    """What a case FAILED as, with what it was compared with; None where enough of it runs as asked."""
    share = next(iter(case.values(METRICS[PRECISION_SHARE])), None)
    if share is None or case.least_share is None or share >= case.least_share - _ROUNDING:
        return None
    parts = (f"less than the {case.least_share:g} % that must run in the precision asked for", _elsewhere(case))
    outcome = compared or Outcome(case.case, PRECISION_SHARE, Verdict.FAILED, head=share)
    return replace(outcome, verdict=Verdict.FAILED, reason="; ".join(filter(None, parts)), hint=_HINT)


def _elsewhere(case: CaseRun) -> str:
    return f"elsewhere: {named(case.other_precisions)}" if case.other_precisions else ""
