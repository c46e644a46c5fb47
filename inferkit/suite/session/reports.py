"""Reports of a run: the HTML file of --report, and GitHub's annotations and summary of --github."""

from __future__ import annotations

import tempfile
from pathlib import Path

from inferkit.errors import InferkitError
from inferkit.report.github import SUMMARY_VARIABLE, annotation_lines, write_summary
from inferkit.suite.session.options import option
from inferkit.suite.session.pytest_benchmark import json_path
from inferkit.suite.session.run_json import traces_npz, traces_path
from inferkit.suite.session.state import Suite


def wanted(suite: Suite) -> bool:
    """Whether a run is to be shown outside of the terminal."""
    return bool(option(suite.config, "report") or option(suite.config, "github"))


def show_run(suite: Suite, content: bytes) -> bool:
    """Write what was asked for from a run's JSON; False, with a note, where something could not be written."""
    from inferkit.files import write_atomically
    from inferkit.gate.files.run_file import read_run
    from inferkit.gate.history.store import History
    from inferkit.report.markdown import markdown
    from inferkit.report.page.html import render_html
    from inferkit.report.page.traces import read_traces
    from inferkit.report.page.view import view_of
    from inferkit.report.write import with_past
    from inferkit.suite.session.history import history_file

    report = option(suite.config, "report")
    try:
        with tempfile.TemporaryDirectory(prefix="inferkit-report-") as folder:
            path = Path(folder, Path(json_path(suite.config) or "run.json").name)  # the page says which run it shows
            path.write_bytes(content)
            traces_path(path).write_bytes(traces_npz(suite))
            view = view_of(read_run(path), traces=read_traces(traces_path(path)), baselines=suite.store.folder)
        if report:
            history = history_file(suite)
            view, pasts = with_past(view, None if history is None else History(history))
            write_atomically(report, render_html(view, pasts=pasts))
            suite.notes.append(f"written: {report}")
        if option(suite.config, "github"):
            suite.notes += annotation_lines(view.cases, strict=suite.strict())
            if write_summary(markdown(view.cases, view.remarks)) is None:
                suite.notes.append(f"--github: no job summary is written, since {SUMMARY_VARIABLE} is not set")
    except (OSError, InferkitError) as error:
        suite.notes.append(f"ERROR: the report could not be written: {error}")
        return False
    return True
