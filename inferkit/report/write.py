"""Writing a report whole or not at all, from the files of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inferkit.files import write_atomically
from inferkit.gate.run_file import RunFile
from inferkit.report.html import render_html
from inferkit.report.view import ReportView, read_traces, view_of


def write_report(
    output: Path, run: RunFile, base: Sequence[RunFile], json_path: Path, baselines: Path | None = None
) -> ReportView:
    """Write the HTML file; the raw traces are taken from beside `json_path` where they are there. Raises OSError."""
    view = view_of(run, base, traces=read_traces(json_path.with_suffix(".traces.npz")), baselines=baselines)
    write_atomically(output, render_html(view))
    return view
