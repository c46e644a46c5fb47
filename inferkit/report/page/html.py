"""The report as one HTML file: no server, no network, and nothing from outside that could run.

Every text is escaped (autoescape), no style or script stands in an attribute, and the page's own
Content-Security-Policy allows the one style and the one script of this file by their hashes, pictures that are in the
file itself, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from inferkit.gate.outcome import Verdict
from inferkit.report.charts.load_curves import LoadCurves, load_charts
from inferkit.report.charts.palette import CHART_STYLE, DARK_VARIABLES, LIGHT_VARIABLES
from inferkit.report.charts.study import Chart, charts_of
from inferkit.report.charts.svg import draw
from inferkit.report.escape import clean
from inferkit.report.facts import mapping, rate, shown
from inferkit.report.page.case import case_pages
from inferkit.report.page.hardware import machines_of, origin_of
from inferkit.report.page.past import Past
from inferkit.report.page.view import ReportView
from inferkit.version import __version__

_SIGNS = {
    Verdict.REGRESSED: "▲",
    Verdict.SUSPECT: "△",
    Verdict.MISSING: "∅",
    Verdict.FAILED: "✕",
    Verdict.INVALID: "!",
    Verdict.INCONCLUSIVE: "?",
    Verdict.IMPROVED: "▼",
    Verdict.PASS: "✓",
    Verdict.NO_BASELINE: "○",
    Verdict.UNSUPPORTED: "–",
    Verdict.SCREENED: "≈",
    Verdict.WAIVED: "§",
}
_TONES = {"bad": "▲", "unsure": "?", "good": "✓"}
_FEW_NETWORKS = 3  # whose charts are shown at once; those of the others are opened one by one


def render_html(view: ReportView, loads: Sequence[LoadCurves] = (), pasts: Mapping[str, Past] | None = None) -> bytes:
    """The file's content, UTF-8. `loads` are sweeps of served networks, `pasts` the history of each case."""
    folder = files("inferkit.report") / "templates"
    names = ("report.html", "case.html", "report.css", "report.js")
    source = {name: (folder / name).read_text(encoding="utf-8") for name in names}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(source), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    style = (
        f":root{{{LIGHT_VARIABLES}}}@media (prefers-color-scheme:dark){{:root{{{DARK_VARIABLES}}}}}"
        f"{CHART_STYLE}{source['report.css']}@media print{{:root{{{LIGHT_VARIABLES}}}}}"
    )
    script = source["report.js"]
    cases = case_pages(view.cases, pasts)
    page = environment.get_template("report.html").render(
        view=view,
        version=__version__,
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(style),
        script=Markup(script),
        cases=cases,
        counts=view.counts,
        rates={case["unit"] for case in cases if case["rate"] is not None},
        rate=rate,
        choices={name: _choices(cases, name) for name in ("model", "precision", "backend")},
        groups=_groups((*charts_of(view.run), *load_charts(loads))),
        few=_FEW_NETWORKS,
        origin=origin_of(view.run),
        bases=[origin_of(base) for base in view.base],
        machines=machines_of(view.run),
        environment=mapping(view.run.record, "environment"),
        signs=_SIGNS,
        sign=_TONES[view.tone],
        shown=shown,
    )
    return clean(page).encode()


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _choices(cases: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """What a filter can be set to; nothing where there is no choice."""
    found = sorted({case[name] for case in cases if case[name]})
    return found if len(found) > 1 else []


def _groups(charts: Sequence[Chart]) -> list[tuple[str, list[tuple[str, Markup]]]]:
    """Charts by network, each with its title."""
    found: dict[str, list[tuple[str, Markup]]] = {}
    for chart in charts:
        found.setdefault(chart.group, []).append((chart.title, Markup(draw(chart))))
    return list(found.items())
