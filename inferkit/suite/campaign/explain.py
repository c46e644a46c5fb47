"""Which layers explain what a campaign or an A/B run has judged: the tables of its replicates, and of the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from inferkit.errors import BaselineError
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.layer_store import read_layers
from inferkit.gate.layer_diff import LayerDiff, explain, wants_explaining
from inferkit.gate.outcome import Outcome
from inferkit.measure.latency.replicate import Replicate
from inferkit.measure.layers.table import LayerTable, median_table, readable_table
from inferkit.measure.layers.tensorrt import engine_layers
from inferkit.suite.campaign.records import CaseRecord


def layers_of(replicates: Iterable[Replicate]) -> LayerTable:
    """The layer table of these replicates: the medians of those that were profiled; empty where none was."""
    tables = []
    for replicate in replicates:
        # An older commit's replicate has TensorRT's own figures only.
        table = readable_table(replicate.details.get("layers")) or engine_layers(replicate.details)
        if table:
            tables.append(table)
    return median_table(tables)


def explain_records(records: Sequence[CaseRecord], store: BaselineStore) -> None:
    """Add the layers to the outcome of every case that regressed or improved against the stored baseline."""
    for record in records:
        if record.outcome is None or record.fingerprint is None or not wants_explaining(record.outcome):
            continue
        try:
            before = read_layers(store.path(record.fingerprint)).get(record.case.id, ())
        except BaselineError as error:
            told = f"its layers cannot be compared: {error}"
            record.outcome = replace(
                record.outcome, reason="; ".join(part for part in (record.outcome.reason, told) if part)
            )
            continue
        record.outcome, record.why = explain(record.outcome, before, layers_of(record.replicates))


def explain_sides(
    outcome: Outcome, base: Sequence[Replicate], head: Sequence[Replicate]
) -> tuple[Outcome, LayerDiff | None]:
    """The outcome of an A/B case with the layers that explain it."""
    return explain(outcome, layers_of(base), layers_of(head))
