"""Writing reports whole or not at all, from the files of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.files import write_atomically
from inferkit.gate.run import Run
from inferkit.report.charts.load_curves import LoadCurves
from inferkit.report.markdown import markdown
from inferkit.report.page.html import render_html
from inferkit.report.page.past import Past, pasts_of
from inferkit.report.page.traces import read_traces
from inferkit.report.page.view import ReportView, view_of

if TYPE_CHECKING:
    from inferkit.gate.history.store import History


def view_of_files(run: Run, base: Sequence[Run], json_path: Path, baselines: Path | None = None) -> ReportView:
    """The view of a run; raw traces are taken from beside the files where they are there."""
    traces, *base_traces = (
        read_traces(path.with_suffix(".traces.npz")) for path in (json_path, *(Path(file.name) for file in base))
    )
    return view_of(run, base, traces=traces, base_traces=base_traces, baselines=baselines)


def write_html(
    output: Path, view: ReportView, loads: Sequence[LoadCurves] = (), history: History | None = None
) -> None:
    """Write the HTML file, with the history of the view's cases. Raises OSError."""
    view, pasts = with_past(view, history)
    write_atomically(output, render_html(view, loads, pasts))


def write_markdown(output: Path, view: ReportView) -> None:
    """Write the comment for a pull request. Raises OSError."""
    write_atomically(output, markdown(view.cases, view.remarks).encode())


def with_past(view: ReportView, history: History | None) -> tuple[ReportView, dict[str, Past]]:
    """The history of the view's cases, and the view with a remark where it could not be told."""
    if history is None:
        return view, {}
    pasts, remark = pasts_of(history, view.run)
    return replace(view, remarks=(*view.remarks, remark)) if remark else view, pasts
