"""Outcomes as a table, for the commands that compare: one line per case and metric, and explanations below."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from inferkit.gate.metrics import shower
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.report.escape import clean
from inferkit.report.table import Column, table_lines, unsupported_lines

_COLUMNS = (
    Column("case", "case", str, left=True),
    Column("metric", "metric", str, rank=2, left=True),
    Column("base", "base", str, rank=1),
    Column("head", "head", str),
    Column("change", "change", str),
    Column("margin", "margin", str, rank=2),
    Column("replicates", "replicates", str, rank=3),
    Column("verdict", "verdict", str, left=True),
)
_EXPLAINED = (Verdict.REGRESSED, Verdict.FAILED, Verdict.INVALID, Verdict.INCONCLUSIVE)


def outcome_lines(outcomes: Iterable[Outcome], *, width: int = 0, color: bool = False) -> list[str]:
    """The lines to print; a width of 0 is a log, which has room for all columns."""
    rows = list(outcomes)
    if not rows:
        return []
    lines = table_lines(_COLUMNS, [_row(outcome) for outcome in rows], width, color)
    explained = [outcome.line for outcome in rows if outcome.verdict in _EXPLAINED]
    unsupported = [outcome for outcome in rows if outcome.verdict is Verdict.UNSUPPORTED]
    explained += unsupported_lines((outcome.case, outcome.reason, outcome.hint) for outcome in unsupported)
    return [*lines, "", *map(clean, explained)] if explained else lines


def _row(outcome: Outcome) -> dict[str, Any]:
    show = shower(outcome.metric)
    return {
        "case": outcome.case,
        "metric": outcome.metric,
        "base": None if outcome.base is None else show(outcome.base),
        "head": None if outcome.head is None else show(outcome.head),
        "change": None if outcome.change is None else outcome.shown_change(outcome.change),
        "margin": None if outcome.margin is None else outcome.shown_amount(outcome.margin),
        "replicates": f"{outcome.base_replicates} | {outcome.head_replicates}" if outcome.head_replicates else None,
        "verdict": outcome.verdict,
    }
