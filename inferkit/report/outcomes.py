"""Outcomes as a table, for the commands that compare: one line per case and metric, and explanations below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from inferkit.gate.layer_diff import LayerDiff
from inferkit.gate.metrics import LATENCY, shower
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.outputs import is_changed
from inferkit.report.layers import WHY, folded, headline_lines
from inferkit.report.table import Column, change_and_margin, table_lines, unsupported_lines

_COLUMNS = (
    Column("case", "case", str, left=True),
    Column("metric", "metric", str, rank=2, left=True),
    Column("base", "base", str, rank=1),
    Column("head", "head", str),
    Column("change / margin", "change", str),
    Column("replicates", "replicates", str, rank=3),
    Column("verdict", "verdict", str, left=True),
)
_EXPLAINED = (
    Verdict.REGRESSED,
    Verdict.SUSPECT,
    Verdict.FAILED,
    Verdict.WAIVED,
    Verdict.INVALID,
    Verdict.INCONCLUSIVE,
)


def outcome_lines(
    outcomes: Iterable[Outcome],
    layers: Mapping[str, LayerDiff] | None = None,
    *,
    width: int = 0,
    color: bool = False,
) -> list[str]:
    """The lines to print; a width of 0 is a log, which has room for all columns. `layers` explain changed latencies."""
    rows = list(outcomes)
    if not rows:
        return []
    lines = table_lines(_COLUMNS, [_row(outcome) for outcome in rows], width, color)
    explained: list[str] = []
    for outcome in rows:
        diff = (layers or {}).get(outcome.case) if outcome.metric == LATENCY else None
        shown = outcome.verdict in _EXPLAINED or diff is not None
        if shown or is_changed(outcome) or _passes_beyond(outcome):
            facts = {} if diff is None else {WHY: diff.as_dict()}
            explained += headline_lines(outcome.line, facts, width=width, color=color)
    unsupported = [outcome for outcome in rows if outcome.verdict is Verdict.UNSUPPORTED]
    grouped = unsupported_lines((outcome.case, outcome.reason, outcome.hint) for outcome in unsupported)
    explained += [part for line in grouped for part in folded(line, width)]
    return [*lines, "", *explained] if explained else lines


def _passes_beyond(outcome: Outcome) -> bool:
    """Whether it passes although its change exceeds the margin: the figures alone would say otherwise."""
    beyond = outcome.change is not None and outcome.margin is not None and abs(outcome.change) > outcome.margin
    return outcome.verdict is Verdict.PASS and beyond and bool(outcome.reason)


def _row(outcome: Outcome) -> dict[str, Any]:
    show = shower(outcome.metric)
    return {
        "case": outcome.case,
        "metric": outcome.metric,
        "base": None if outcome.base is None else show(outcome.base),
        "head": None if outcome.head is None else show(outcome.head),
        "change": change_and_margin(outcome),
        "replicates": f"{outcome.base_replicates} | {outcome.head_replicates}" if outcome.head_replicates else None,
        "verdict": outcome.verdict,
    }
