"""The report as one HTML file: no server, no network, and nothing from outside that could run.

Every text is escaped (autoescape), no style or script stands in an attribute, and the page's own
Content-Security-Policy allows the one style and the one script of this file by their hashes and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from inferkit import __version__
from inferkit.gate.outcome import ACCURACY, LATENCY, percent, seconds, shower
from inferkit.measure.statistics import PERCENTILES, samples_needed
from inferkit.report.chart import charts_of
from inferkit.report.facts import mapping, number, shown, text
from inferkit.report.palette import CHART_STYLE, DARK_VARIABLES, LIGHT_VARIABLES
from inferkit.report.strips import bounds_plot, split_bar, strip_plot
from inferkit.report.svg import draw
from inferkit.report.view import ORDER, CaseView, ReportView, telemetry_rows

_MOST_LAYERS = 12


def render_html(view: ReportView) -> bytes:
    """The file's content, UTF-8."""
    folder = files("inferkit.report") / "templates"
    source = {name: (folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.css", "report.js")}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(source), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    style = (
        f":root{{{LIGHT_VARIABLES}}}@media (prefers-color-scheme:dark){{:root{{{DARK_VARIABLES}}}}}"
        f"{CHART_STYLE}{source['report.css']}@media print{{:root{{{LIGHT_VARIABLES}}}}}"
    )
    script = source["report.js"]
    page = environment.get_template("report.html").render(
        view=view,
        version=__version__,
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; "
        "form-action 'none'",
        style=Markup(style),
        script=Markup(script),
        cases=[_case(index, case) for index, case in enumerate(view.cases)],
        charts=[Markup(draw(chart)) for chart in charts_of(view.run)],
        titles=[chart.title for chart in charts_of(view.run)],
        environment=mapping(view.run.record, "environment"),
        order=ORDER,
        shown=shown,
    )
    return page.encode()


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _case(index: int, case: CaseView) -> dict[str, Any]:
    """One row of the table and its section."""
    outcome, facts = case.outcome, case.facts
    show = shower(case.metric)
    now = outcome.now if outcome is not None and outcome.now is not None else number(facts, "centre")
    if now is None and case.metric == ACCURACY:
        now = number(facts, "top1")
    baseline = outcome.baseline if outcome is not None else None
    change = outcome.change if outcome is not None else None
    sides = [("now", case.now)] + ([("before", case.before)] if case.before else [])
    return {
        "id": f"case-{index}",
        "view": case,
        "rank": ORDER.index(case.verdict) if case.verdict in ORDER else len(ORDER),
        "now": now,
        "now_text": None if now is None else show(now),
        "baseline": baseline,
        "baseline_text": None if baseline is None else show(baseline),
        "change": change,
        "change_text": None if change is None or outcome is None else outcome.shown_change(change),
        "line": outcome.line if outcome is not None else "",
        "rate": number(facts, "images_per_second"),
        "strip": Markup(strip_plot(sides, f"Replicates of {case.case}")) if case.now else "",
        "ranges": any(strip.quantiles for strip in case.now),
        "bounds": Markup(bounds_plot(outcome)) if outcome is not None else "",
        "split": Markup(split_bar(case.split)) if case.split else "",
        "percentiles": _percentiles(facts) if case.metric == LATENCY and number(facts, "samples") else [],
        "figures": _figures(case),
        "telemetry": telemetry_rows(facts),
        "layers": _layers(facts),
    }


def _percentiles(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    samples = int(number(facts, "samples") or 0)
    found = []
    for which in PERCENTILES:
        value = number(facts, f"p{which:g}")
        refused = f"not supported: needs {samples_needed(which)} samples, there are {samples}"
        found.append((f"p{which:g}", refused if value is None else seconds(value)))
    return found


def _figures(case: CaseView) -> list[tuple[str, str]]:
    facts = case.facts
    found: list[tuple[str, str]] = []

    def add(name: str, key: str, unit: str, scale: float = 1.0) -> None:
        value = number(facts, key)
        if value is not None:
            found.append((name, f"{value / scale:,.4g} {unit}".strip()))

    for name, key in (("network", "model"), ("precision", "precision"), ("backend", "backend"), ("mode", "mode")):
        value = text(facts, key)
        if value is not None:
            found.append((name, value))
    add("batch size", "batch_size", "")
    add("samples", "samples", "")
    add("images", "images", "")
    for name, key in (("top-1", "top1"), ("top-5", "top5")):
        share = number(facts, key)
        if share is not None:
            found.append((name, percent(share)))
    add("images right in FP32 and wrong here", "lost", "")
    add("wrong in FP32 and right here", "gained", "")
    add("memory of the process", "memory", "MiB", 2**20)
    add("memory of the device", "device_memory", "MiB", 2**20)
    add("engine", "engine_bytes", "MiB", 2**20)
    for name, key in (("build", "build_seconds"), ("cold start", "cold_start")):
        values = facts.get(key)
        times = [v for v in values if isinstance(v, float) and v > 0] if isinstance(values, list) else []
        if times:
            found.append((name, ", ".join(seconds(value) for value in times)))
    limit = mapping(mapping(facts, "details"), "limit")
    share = number(limit, "share")
    if share is not None:
        found.append(("of what the hardware allows", f"{share:.1%} (bound by {shown(limit.get('bound_by'))})"))
    if case.outcome is not None and case.outcome.mde is not None:
        found.append(("smallest change that would be seen", case.outcome.shown_amount(case.outcome.mde)))
    discarded = facts.get("discarded")
    if isinstance(discarded, list) and discarded:
        found.append(("replicates measured again", str(len(discarded))))
    return found


def _layers(facts: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The slowest layers, where the backend timed them: name, seconds, share."""
    told = mapping(mapping(facts, "details"), "layer_seconds")
    times = {name: value for name in told if (value := number(told, name)) is not None and value > 0}
    total = sum(times.values())
    slowest = sorted(times.items(), key=lambda pair: -pair[1])[:_MOST_LAYERS]
    return [(name, seconds(value), f"{value / total:.1%}") for name, value in slowest]
