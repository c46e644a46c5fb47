"""One case as the page shows it: its row in the table and its section, with everything that was judged of it.

A case has one row, whatever was judged of it (latency, p99, memory, build time): under the verdict of what it is about,
or of the first other figure that fails or is INVALID, as the suite itself has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from inferkit.backends.precision_share import named, others_from
from inferkit.gate.builds import BuildSpread
from inferkit.gate.metrics import ACCURACY, LATENCY, P99, shower
from inferkit.gate.outcome import Outcome, Verdict, by_case, deciding, main_figure
from inferkit.gate.units import percent, seconds, size
from inferkit.measure.latency.statistics import PERCENTILES, samples_needed
from inferkit.report.charts.overtime import draw_over_time, over_time
from inferkit.report.charts.strips import bounds_plot, change_mark, layer_bars, split_bar, strip_plot
from inferkit.report.facts import in_rounds, mapping, number, rate, shown, text, unit_of
from inferkit.report.layers import ShownLayer, culprits, layer_rows
from inferkit.report.page.confusion import Confusion, confusion_of
from inferkit.report.page.past import Past
from inferkit.report.page.view import ORDER, CaseView, telemetry_rows
from inferkit.report.table import change_and_margin

_MOST_LAYERS = 12
# All pictures of a report together, in characters: 24 of one case are some 60,000.
_PICTURE_ROOM = 1_000_000
# Points of a figure over time, and of so many cases that the page would get too large otherwise.
_POINTS, _POINTS_OF_MANY, _MANY = 160, 40, 100
_SORT_LIMIT = 1e12  # a change beyond this sorts like this: an attribute must be a number


def case_pages(cases: Sequence[CaseView], pasts: Mapping[str, Past] | None = None) -> list[dict[str, Any]]:
    """Every case once, in the order of the views; `pasts` has the history by case."""
    groups = by_case(cases)
    ids = _ids(list(groups))
    confused = {name: _confusion(group) for name, group in groups.items()}
    room = _PICTURE_ROOM // max(sum(found is not None for found in confused.values()), 1)
    points = _POINTS if len(groups) < _MANY else _POINTS_OF_MANY
    pages = [
        _page(ids[name], group, _shown_confusion(confused[name], room), (pasts or {}).get(name), points)
        for name, group in groups.items()
    ]
    return sorted(pages, key=_order)


def _order(page: Mapping[str, Any]) -> tuple[int, float]:
    """The most serious first; of what regressed the worst first, the others as they were measured."""
    worst = -page["change"] if page["verdict"] == Verdict.REGRESSED and page["change"] is not None else 0.0
    return page["rank"], worst


def _ids(names: Sequence[str]) -> dict[str, str]:
    """Anchors that stay the same from report to report: made of the names, each once."""
    taken: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")[:100] or "case"
        base, count = f"case-{slug}", 1
        found = base
        while found in used:
            count += 1
            found = f"{base}-{count}"
        used.add(found)
        taken[name] = found
    return taken


def _page(
    anchor: str, group: Sequence[CaseView], confusion: Confusion | None, past: Past | None, points: int
) -> dict[str, Any]:
    main, telling = main_figure(group), deciding(group)
    facts, outcome = main.facts, telling.outcome
    show = shower(telling.metric)
    head = outcome.head if outcome is not None else None
    if head is None and telling is main:
        head = number(facts, "top1") if main.metric == ACCURACY else number(facts, "centre")
    base = outcome.base if outcome is not None else None
    change = outcome.change if outcome is not None else None
    sides = [("head", main.head)] + ([("base", main.base)] if main.base else [])
    times = over_time(facts, [s.pace for s in main.head], main.base_facts, [s.pace for s in main.base])
    return {
        "id": anchor,
        "name": main.case,
        "metric": telling.metric,
        "verdict": telling.verdict,
        "rank": ORDER.index(telling.verdict) if telling.verdict in ORDER else len(ORDER),
        "model": text(facts, "model") or "",
        "precision": text(facts, "precision") or "",
        "backend": text(facts, "backend") or "",
        "search": " ".join(dict.fromkeys(_words(group))),
        "head": head,
        "head_text": None if head is None else show(head),
        "base": base,
        "base_text": None if base is None else show(base),
        "change": None if change is None else max(min(change, _SORT_LIMIT), -_SORT_LIMIT),
        "change_text": None if outcome is None else change_and_margin(outcome),
        "mark": Markup(change_mark(outcome)) if outcome is not None else "",
        "rate": number(facts, "images_per_second"),
        "unit": unit_of(facts),
        "lines": [_line(view) for view in group if view is telling or view.fails or view.verdict == Verdict.INVALID],
        "culprits": _line(main)[1],
        "judged": [_judged(view, facts) for view in group if view.outcome and view.outcome.head is not None],
        "strip": Markup(strip_plot(sides, f"Replicates of {main.case}")) if main.head else "",
        "fresh": bool(facts),  # of files of other programs nobody knows how many processes there were
        "builds": any(strip.build is not None for strip in main.head),
        "ranges": any(strip.quantiles for _, strips in sides for strip in strips),
        "bounds": Markup(bounds_plot(outcome)) if outcome is not None else "",
        "split": Markup(split_bar(main.splits)),
        "over_time": Markup(draw_over_time(times, f"{main.case} over time", points)),
        "service": bool(mapping(facts, "service")),
        "iterations": "rounds of batches" if in_rounds(facts) else "iterations",
        "percentiles": _percentiles(facts) if main.metric == LATENCY and number(facts, "samples") else [],
        "samples": int(number(facts, "samples") or 0),
        "figures": _figures(main),
        "telemetry": telemetry_rows(facts),
        "layers": layer_rows(facts, _MOST_LAYERS),
        "layer_bars": Markup(layer_bars(facts, f"Layers of {main.case} that changed")),
        "confusion": confusion,
        "past": Markup(past.picture) if past is not None else "",
        "changes": past.changes if past is not None else (),
    }


def _words(group: Sequence[CaseView]) -> list[str]:
    found = []
    for view in group:
        found += [view.case, view.metric, view.verdict, view.reason]
    return found


def _line(view: CaseView) -> tuple[str, tuple[ShownLayer, ...]]:
    """What says it all, and the layers that changed it, to stand below."""
    if view.outcome is not None:
        return culprits(view.facts, view.outcome.line.removeprefix(f"{view.case} "))
    return "; ".join(part for part in (view.reason, view.hint) if part), ()


def _judged(view: CaseView, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the table of everything that was judged."""
    outcome = view.outcome
    assert outcome is not None
    show, samples = shower(view.metric), number(facts, "samples")
    return {
        "metric": f"{P99} of {samples:,.0f} samples" if view.metric == P99 and samples else view.metric,
        "verdict": view.verdict,
        "base": "–" if outcome.base is None else show(outcome.base),
        "head": "–" if outcome.head is None else show(outcome.head),
        "change": change_and_margin(outcome),
        "bounds": shown_bounds(outcome),
        "reason": culprits(view.facts, view.reason)[0],
    }


def shown_bounds(outcome: Outcome) -> str:
    """The bounds of a change in words, a dash where there are none."""
    if outcome.lower is not None and outcome.upper is not None:
        return f"{outcome.shown_change(outcome.lower)} … {outcome.shown_change(outcome.upper)}"
    return "–" if outcome.upper is None else outcome.shown_upper(outcome.upper)


def _confusion(group: Sequence[CaseView]) -> Confusion | None:
    return next((found for view in group if (found := confusion_of(view.facts)) is not None), None)


def _shown_confusion(found: Confusion | None, room: int) -> Confusion | None:
    """As many pictures as this case's share of the page holds."""
    if found is None:
        return None
    kept, used = [], 0
    for picture in found.pictures:
        used += len(picture.png or "") + 200
        if used > room:
            break
        kept.append(picture)
    return Confusion(found.images, found.changed, found.lost, found.gained, found.pairs[:20], tuple(kept))


def _percentiles(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each with its value or why it has none; nothing of a service that has none on purpose (offline)."""
    known = {which: number(facts, f"p{which:g}") for which in PERCENTILES}
    if mapping(facts, "service") and not any(known.values()):
        return []
    samples = int(number(facts, "samples") or 0)
    found = []
    for which, value in known.items():
        refused = f"not supported: needs {samples_needed(which)} samples, there are {samples}"
        if in_rounds(facts) and which > 50:
            refused = "not known: a sample is the mean of a round of batches"
        found.append((f"p{which:g}", refused if value is None else seconds(value)))
    return found


def _figures(case: CaseView) -> list[tuple[str, str]]:
    facts = case.facts
    found: list[tuple[str, str]] = []

    for name, key in (
        ("network", "model"), ("precision", "precision"), ("backend", "backend"), ("mode", "mode"), ("input", "input"),
    ):  # fmt: skip
        value = text(facts, key)
        if value is not None:
            found.append((name, value))
    for name, key in (("batch size", "batch_size"), ("samples", "samples"), ("images", "images")):
        count = number(facts, key)
        if count is not None:
            found.append((name, f"{count:,.0f}"))
    for name, key in (("precision share", "precision_share"), ("top-1", "top1"), ("top-5", "top5")):
        share = number(facts, key)
        if share is not None:
            found.append((name, percent(share)))
    others = others_from(facts.get("other_precisions"))
    if others:
        found.append(("layers that ran in another precision", named(others)))
    if unknown := text(facts, "precision_share_unknown"):
        found.append(("precision share", f"not known: {unknown}"))
    for name, key in (("images lost: right in FP32 only", "lost"), ("images gained: wrong in FP32 only", "gained")):
        count = number(facts, key)
        if count is not None:
            found.append((name, f"{count:,.0f}"))
    for name, key in (
        ("memory of the process", "memory"),
        ("memory of the device", "device_memory"),
        ("engine", "engine_bytes"),
    ):
        count = number(facts, key)
        if count is not None:
            found.append((name, size(count)))
    alone, share = number(facts, "execution_only_per_second"), number(facts, "share_of_execution_only")
    if alone is not None and share is not None:
        found.append((f"{unit_of(facts)}/s of executions alone", f"{rate(alone)}, of which copies leave {share:.1%}"))
    for name, key in (("build", "build_seconds"), ("cold start", "cold_start")):
        values = facts.get(key)
        times = [v for v in values if isinstance(v, float) and v > 0] if isinstance(values, list) else []
        if times:
            found.append((name, ", ".join(seconds(value) for value in times[:12])))
    found += [*_service(mapping(facts, "service")), *_builds(mapping(facts, "build_spread"))]
    limit = mapping(mapping(facts, "details"), "limit")
    share = number(limit, "share")
    if share is not None:
        found.append(("of what the hardware allows", f"{share:.1%} (bound by {shown(limit.get('bound_by'))})"))
    if case.outcome is not None and case.outcome.mde is not None:
        found.append(("smallest change that would be seen", case.outcome.shown_amount(case.outcome.mde)))
    found += _screened(facts)
    discarded = facts.get("discarded")
    if isinstance(discarded, list) and discarded:
        found.append(("replicates measured again", str(len(discarded))))
    return found


def _screened(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the stored baseline had said of the latency, where the case was then measured in turns with base."""
    told = mapping(facts, "screened")
    if not told:
        return []
    change, margin = number(told, "change"), number(told, "margin")
    said = shown(told.get("verdict")) + ("" if change is None else f" at {change:+.1%}")
    said += "" if margin is None else f" (margin {100 * margin:g} %)"
    return [("by the stored baseline", said), ("then in turns with base, as", shown(facts.get("confirmed")))]


def _builds(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How much builds of the engine differ, where there were several."""
    count = number(told, "builds")
    if count is None:
        return []
    spread = BuildSpread(int(count), 0, number(told, "between"), number(told, "within"))
    return [("builds of the engine", spread.text)]


def _service(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the load generator said of a service case."""
    found = []
    datum = text(told, "datum")
    if datum is not None:
        found.append(("what is compared", datum))
    if isinstance(told.get("valid"), bool):
        short = f", short runs of {shown(told.get('seconds'))} s" if told.get("is_short") is True else ""
        found.append(("MLPerf's judgement", ("VALID" if told["valid"] else "INVALID") + short))
    for name, key, show in (("latency bound", "bound", seconds), ("top-1 through the service", "top1", percent)):
        value = number(told, key)
        if value is not None and value > 0:
            found.append((name, show(value)))
    return found
