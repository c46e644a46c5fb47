"""Verdicts as Markdown for a pull request or a job's summary: what regressed first, under GitHub's limit.

GitHub takes 65,536 characters in a comment. Every text from outside is written as characters of plain text: it can make
no link, no mention and no HTML.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from inferkit.gate.metrics import shower
from inferkit.gate.outcome import Verdict
from inferkit.report.escape import clean
from inferkit.report.layers import culprits
from inferkit.report.page.view import CaseView, headline, verdict_counts
from inferkit.report.table import change_and_margin

LIMIT = 65_536
_HEAD = (
    "| case | metric | base | head | change / margin | bounds | verdict |",
    "| --- | --- | ---: | ---: | ---: | --- | --- |",
)
_QUIET = (Verdict.PASS, Verdict.NO_BASELINE, Verdict.UNSUPPORTED)
_LONGEST = 600  # characters of one text
_ROOM = 200  # characters for the last lines


def markdown(cases: Sequence[CaseView], remarks: Sequence[str] = ()) -> str:
    """The text, fewer than LIMIT characters; cases that do not fit are counted in its last line."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdict_counts(cases).items())
    lines = [f"### {headline(cases)}", "", counts, ""]
    lines += [f"> {plain(remark)}\n" for remark in remarks]
    loud = [case for case in cases if case.verdict not in _QUIET]
    quiet = [case for case in cases if case.verdict in _QUIET]
    room = LIMIT - sum(len(line) + 1 for line in lines) - 2 * _ROOM
    left = 0
    if loud:
        taken, room, left = _table(loud, room)
        lines += [*_HEAD, *taken, ""]
        for line in filter(None, map(_explained, loud)):
            room -= len(line) + 1
            if room > 0:
                lines.append(line)
    if quiet and room > 1000:
        taken, room, more = _table(quiet, room - 500)
        left += more
        lines += ["", f"<details><summary>{len(quiet)} more figures</summary>", "", *_HEAD, *taken, "", "</details>"]
    elif quiet:
        left += len(quiet)
    if left:
        lines += ["", f"{left} more figures do not fit here; `inferkit report` shows all."]
    return "\n".join(lines) + "\n"


def _table(cases: Sequence[CaseView], room: int) -> tuple[list[str], int, int]:
    """The rows that fit, the room that is left, and how many cases did not fit."""
    taken: list[str] = []
    room -= sum(map(len, _HEAD)) + 2
    for case in cases:
        line = _row(case)
        if len(line) + 1 > room:
            break
        taken.append(line)
        room -= len(line) + 1
    return taken, room, len(cases) - len(taken)


def _row(case: CaseView) -> str:
    outcome = case.outcome
    show = shower(case.metric)
    base = head = bounds = "–"
    change = (outcome and change_and_margin(outcome)) or "–"
    if outcome is not None:
        base = base if outcome.base is None else show(outcome.base)
        head = head if outcome.head is None else show(outcome.head)
        if outcome.lower is not None and outcome.upper is not None:
            bounds = f"{outcome.shown_change(outcome.lower)} … {outcome.shown_change(outcome.upper)}"
        elif outcome.upper is not None:
            bounds = outcome.shown_upper(outcome.upper)
    verdict = f"**{case.verdict}**" if case.fails else case.verdict
    cells = (f"<code>{plain(case.case)}</code>", plain(case.metric), base, head, change, bounds, verdict)
    return f"| {' | '.join(cells)} |"


def _explained(case: CaseView) -> str:
    """Why a case has its verdict, and below it the layers that changed it; empty where there is nothing to say."""
    text, layers = culprits(case.facts, "; ".join(part for part in (case.reason, case.hint) if part))
    if not text and not layers:
        return ""
    headline = f"{case.case}: {text}" if text else case.case
    return "\n".join([f"- {plain(headline)}", *(f"  - {plain(layer.line)}" for layer in layers)])


def plain(text: str) -> str:
    """Text that Markdown and HTML take as it is: other characters than words' own become entities."""
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    short = re.sub(r"\s+", " ", clean(short))
    # GitHub looks for mentions and issue numbers after entities were resolved: a joint without width stops it.
    short = re.sub(r"[@#]", lambda sign: f"{sign[0]}\u200b", short)
    return re.sub(r"[^\w \u200b.,;/%()+=–…µ±-]|_", lambda sign: f"&#{ord(sign[0])};", short)
