"""The `inferkit` key of the benchmark JSON, and the file of raw traces beside it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from inferkit.gate.files.baseline import origin_of
from inferkit.gate.files.run_file import SCHEMA
from inferkit.measure.latency.iterations import COLUMNS
from inferkit.measure.machine.host import HostState, cpu_model, usable_cpus
from inferkit.suite.campaign.facts import accuracy_row, coverage_lines, latency_details
from inferkit.suite.campaign.records import AccuracyRecord, CaseRecord
from inferkit.suite.session.state import Suite
from inferkit.suite.session.xdist import merged
from inferkit.version import __version__


def run_record(suite: Suite) -> dict[str, Any]:
    """Everything that inferkit knows of a run, JSON-able: see inferkit.gate.files.run_file for what reads it."""
    if suite.gathered:
        return {**merged([part.record for part in suite.gathered]), "narrowed": suite.narrowed}
    campaigns = list(suite.campaigns.values())
    latency = [record for campaign in campaigns for record in campaign.latency.values()]
    accuracy = [record for campaign in campaigns for record in campaign.accuracy.values()]
    everything: list[CaseRecord | AccuracyRecord] = [*latency, *accuracy]
    outcomes = [*(outcome for record in everything for outcome in record.outcomes), *suite.unmeasured]
    return {
        "schema": SCHEMA,
        "version": __version__,
        "narrowed": suite.narrowed,
        "busy_host": [r.case.id for r in latency if any(e.on_busy_cpus and not e.invalid for e in r.replicates)],
        "smoke": any(campaign.settings.smoke for campaign in campaigns),
        "environment": {**HostState.now().__dict__, "cpu": cpu_model(), "cpus": usable_cpus()},
        "fingerprints": {r.fingerprint.slug: r.fingerprint.as_dict() for r in everything if r.fingerprint is not None},
        "declared": _declared(suite),
        "baselines": {slug: origin_of(base) for c in campaigns for slug, base in c.baselines.found().items()},
        "screened": {slug: screen.line for c in campaigns for slug, screen in c.baselines.screens().items()},
        "cases": {
            r.case.id: {**latency_details(r), "files": suite.files.get(path, {}).get(r.network.name, {})}
            for path, campaign in suite.campaigns.items()
            for r in campaign.latency.values()
            if r.replicates and r.failure is None
        },
        "accuracy": {r.case.id: _accuracy(r) for r in accuracy if r.accuracy is not None},
        "references": {slug: facts for c in campaigns for slug, facts in c.references.as_dict().items()},
        "memory_references": {slug: facts for c in campaigns for slug, facts in c.memory_references.as_dict().items()},
        "remarks": [
            *(screen.line for c in campaigns for screen in c.baselines.screens().values()),
            *(line for c in campaigns for line in c.machine_lines()),
            *coverage_lines(everything),
        ],
        "outcomes": [outcome.as_dict() for outcome in outcomes],
        "unsupported": {r.case.id: r.unsupported.__dict__ for r in everything if r.unsupported},
        "failures": {r.case.id: r.failure for r in everything if r.failure},
    }


def screen_lines(suite: Suite) -> list[str]:
    """A line for each kind of machine that had no baseline of its own, and was compared with the nearest one."""
    records = [part.record for part in suite.gathered]
    screens = [screen for campaign in suite.campaigns.values() for screen in campaign.baselines.screens().values()]
    lines = [line for record in records for line in record["screened"].values()]
    return list(dict.fromkeys([*lines, *(screen.line for screen in screens)]))


def _accuracy(record: AccuracyRecord) -> dict[str, Any]:
    """The row of the table, with everything that a comparison of two files needs, and the images that changed."""
    row = {key: value for key, value in accuracy_row(record).items() if key != "kind"}
    return row if record.confusion is None else {**row, "confusion": dict(record.confusion)}


def _declared(suite: Suite) -> dict[str, list[str]]:
    """The ids of every case of the matrices by fingerprint: what a baseline may keep when it is promoted."""
    latency = [record for campaign in suite.campaigns.values() for record in campaign.latency.values()]
    measured = {record.case.backend for record in latency if record.replicates}
    return {slug: list(ids) for slug, ids in suite.declared(measured).items()}


def traces_path(json_path: Path) -> Path:
    """Where the raw traces of a benchmark JSON lie: `run.json` has `run.traces.npz`."""
    return json_path.with_suffix(".traces.npz")


def traces_npz(suite: Suite) -> bytes:
    """Raw timestamps: one array [iterations, columns] per case and replicate, and the predictions of accuracy cases."""
    arrays: dict[str, Any] = {"columns": np.array(COLUMNS)}
    for campaign in suite.campaigns.values():
        latency: Iterable[CaseRecord] = campaign.latency.values()
        for record in latency:
            for number, replicate in enumerate(record.replicates):
                arrays[f"{record.case.id}/{number}"] = replicate.trace
            for number, replicate in enumerate(record.base):
                arrays[f"{record.case.id}/base{number}"] = replicate.trace
        for evaluated in campaign.accuracy.values():
            if evaluated.accuracy is not None:
                arrays[f"{evaluated.case.id}/predictions"] = evaluated.accuracy.predictions
    for part in suite.gathered:
        if part.traces:
            with np.load(io.BytesIO(part.traces), allow_pickle=False) as content:
                arrays |= {name: content[name] for name in content.files}
    written = io.BytesIO()
    np.savez_compressed(written, **arrays)
    return written.getvalue()
