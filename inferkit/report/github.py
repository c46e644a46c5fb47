"""GitHub Actions: annotations on the job, and the job's summary.

Source: GitHub's documentation, "Workflow commands for GitHub Actions": `::error title=…::message`, with %, CR and LF
escaped, and in properties also `:` and `,`. A step shows at most ten errors and ten warnings.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from inferkit.gate.outcome import Verdict, by_case, deciding
from inferkit.report.page.view import CaseView

_MOST = 10
SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"


_DOUBTFUL = frozenset({Verdict.INVALID, Verdict.INCONCLUSIVE, Verdict.SCREENED, Verdict.WAIVED})


def annotation_lines(cases: Sequence[CaseView], *, strict: Collection[Verdict] = ()) -> list[str]:
    """Workflow commands: an error for each case that fails the build, a warning for each without a sound verdict.

    `strict` are verdicts that fail too, as with --inferkit-strict.
    """
    groups = [(deciding(group), group) for group in by_case(cases).values()]
    errors = [(view, _others(view, group)) for view, group in groups if view.fails or view.verdict in strict]
    warnings = [(view, "") for view, _ in groups if view.verdict in _DOUBTFUL - set(strict)]
    return [*_commands("error", errors), *_commands("warning", warnings)]


def _others(shown: CaseView, group: Sequence[CaseView]) -> str:
    """The other metrics of the case that fail."""
    others = [view.metric for view in group if view.fails and view is not shown]
    return f"; also {', '.join(others)}" if others else ""


def _commands(kind: str, cases: Sequence[tuple[CaseView, str]]) -> list[str]:
    shown = cases if len(cases) <= _MOST else cases[: _MOST - 1]
    lines = []
    for case, more in shown:
        message = case.outcome.line if case.outcome is not None else f"{case.case}: {case.reason}"
        lines.append(f"::{kind} title={_property(f'{case.verdict} {case.case}')}::{_data(message + more)}")
    if len(shown) < len(cases):
        rest = len(cases) - len(shown)
        lines.append(f"::{kind} title=inferkit::{rest} more cases; the job's summary lists them")
    return lines


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def write_summary(text: str) -> str | None:
    """Append to the job's summary; returns the file, None outside of a GitHub job. Raises OSError."""
    path = os.environ.get(SUMMARY_VARIABLE)
    if not path:
        return None
    with open(path, "a", encoding="utf-8") as file:  # GitHub's own file: other steps' text is in it
        file.write(text)
    return path
