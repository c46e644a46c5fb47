"""The figures of a case, derived from its raw traces: for the table, for extra_info, for the JSON."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.gate.builds import build_spread
from inferkit.gate.files.data import written
from inferkit.gate.metrics import PRECISION_SHARE, middle, of_replicates
from inferkit.gate.outcome import Verdict
from inferkit.gate.run import CaseRun
from inferkit.measure.latency import statistics
from inferkit.measure.latency.replicate import Replicate
from inferkit.suite.campaign.records import AccuracyRecord, CaseRecord, layers_of, outputs_of, precision_share_of

_SHOWN_LAYERS = 8
_WHOLE = 99.95  # percent, which is shown as all
_OF_THE_CASE = ("details", "version", "flavour", "unit", "outputs")  # of a replicate, written once


def latency_facts(record: CaseRecord) -> dict[str, Any]:
    """What is known of a measured latency case. Times in seconds, memory in bytes; None where it is not known."""
    replicates, measured = record.replicates, record.measured()
    walls = np.concatenate([each.walls for each in replicates])
    centre = statistics.centre(record.log_medians)
    return {
        "case": record.case.id,
        "model": record.case.model,
        "precision": record.case.precision,
        "batch_size": record.case.batch_size,
        "backend": record.case.backend,
        "mode": record.case.mode,
        "fingerprint": measured.fingerprint or None,
        "margin": record.margin,
        "margins": {name: margin.written() for name, margin in record.margins.items()},
        "rebuilt": measured.rebuilt,
        "centre": centre,
        "spread": statistics.spread(record.log_medians),
        **_percentiles(record, walls),
        "samples": len(walls),
        "images_per_second": statistics.images_per_second(centre, record.case.batch_size),
        "unit": next((each.unit for each in record.replicates if each.unit), "images"),
        "memory": next(iter(middle([int(each) for each in measured.data.get("memories", ())])), None),
        **_data(measured),
        "verdict": str(record.outcome.verdict) if record.outcome else None,
        **_input(record),
        **_alone(record),
        **_service_facts(record),
        **_builds(record),
    }


def _input(record: CaseRecord | AccuracyRecord) -> dict[str, Any]:
    """The type that the engine is fed where it is not the model's own: pixels, of which mean and scale are its."""
    return {"input": "uint8"} if record.network.uint8_input else {}


def _alone(record: CaseRecord) -> dict[str, Any]:
    """Of overlapped batches: images per second of executions without copies, and the share that is left with them."""
    details = next((each.details for each in record.replicates if each.details), {})
    seconds, share = details.get("execution_only_seconds"), details.get("share_of_execution_only_rate")
    if not _in_rounds(record) or not seconds or not share:
        return {}
    rate = record.case.batch_size / seconds
    return {"execution_only_per_second": rate, "share_of_execution_only": share}


def _data(measured: CaseRun) -> dict[str, Any]:
    """The data of every metric as files keep them; empty, or None for those of the engine, where there are none."""
    empty: dict[str, Any] = {metric.datum: None if metric.of_engine else [] for metric in of_replicates()}
    return {**empty, **written(measured, digits=None)}


def _percentiles(record: CaseRecord, walls: NDArray[np.float64]) -> dict[str, float | None]:
    """Over all iterations; of rounds only their median, since a mean hides the tail of its batches."""
    percentiles = statistics.percentiles(walls)
    return {**dict.fromkeys(percentiles), "p50": percentiles["p50"]} if _in_rounds(record) else percentiles


def _in_rounds(record: CaseRecord) -> bool:
    """Whether an iteration is a round, with the mean of many batches (throughput mode)."""
    return record.case.mode == "throughput"


def _builds(record: CaseRecord) -> dict[str, Any]:
    """Of which build each replicate is and how builds differ, where there are several; what the engine is made of."""
    made_of = {"network": record.network_digest, "settings": record.settings_digest}
    facts: dict[str, Any] = {key: digest for key, digest in made_of.items() if digest is not None}
    if record.build_numbers:
        spread = build_spread(record.log_medians, record.build_numbers)
        facts |= {"builds": list(record.build_numbers), "build_spread": asdict(spread)}
    return facts


def _service_facts(record: CaseRecord) -> dict[str, Any]:
    """What the load generator says of a service case, medians over its processes; nothing for other cases."""
    services = [each.service for each in record.replicates if each.service is not None]
    if not services:
        return {}
    figures = ("p50", "p90", "p95", "p99", "images_per_second")
    values_of = {name: [float(each[name]) for each in services if each.get(name) is not None] for name in figures}
    medians = {name: median(values) if values else None for name, values in values_of.items()}
    return {
        **medians,
        "samples": sum(int(each.get("queries") or 0) for each in services),
        "service": {
            "datum": services[0]["datum"],
            "valid": all(each["valid"] for each in services),
            "is_short": any(each["is_short"] for each in services),
            "seconds": services[0]["seconds"],
            "bound": services[0]["bound"],
            "top1": record.service_top1,
        },
    }


def latency_details(record: CaseRecord) -> dict[str, Any]:
    """The facts, and what is too long for pytest-benchmark's extra_info: each replicate, the backend's own details."""
    details = next((each.details for each in record.replicates if each.details), {})
    layers, outputs = [row.as_dict() for row in layers_of(record.replicates)], outputs_of(record.replicates)
    return {
        **latency_facts(record),
        "version": record.replicates[0].version,
        "flavour": record.replicates[0].flavour,
        "replicates": [_replicate(each) for each in record.replicates],
        "discarded": [_replicate(each) for each in record.discarded],
        "details": {key: value for key, value in details.items() if key not in ("layers", "precision_share")},
        **({"layers": layers} if layers else {}),
        **_precision_share(record),
        **({} if outputs is None else {"outputs": outputs.as_dict(), "outputs_rule": record.outputs_rule}),
        **({"why": record.why.as_dict()} if record.why is not None else {}),
        **({"against": _against(record)} if record.base else {}),
        **_screened(record),
    }


def _screened(record: CaseRecord) -> dict[str, Any]:
    """What the stored baseline had said of the latency, and why the case was then measured in turns with base."""
    if record.screened is None:
        return {}
    return {"screened": record.screened.as_dict(), "confirmed": record.confirmed}


def _against(record: CaseRecord) -> dict[str, Any]:
    """The base of an interleaved run; its raw traces are in the file of traces as `CASE/base0`, …"""
    return {"ref": record.base_ref, "log_medians": [each.log_median for each in record.base]}


def _replicate(replicate: Replicate) -> dict[str, Any]:
    facts = replicate.as_dict()
    return {key: value for key, value in facts.items() if key not in _OF_THE_CASE} | {
        "iterations": len(replicate.trace)
    }


def latency_row(record: CaseRecord) -> dict[str, Any]:
    """The row of the table."""
    outcome = record.outcome
    facts = latency_facts(record)
    return {
        "kind": "service" if "service" in facts else "latency",
        **facts,
        **_coverage(record),
        **_precision_row(record),
        "loadgen": _loadgen(facts),
        "base": outcome.base if outcome else None,
        "change": outcome.change if outcome else None,
        "margin": outcome.margin if outcome else None,
        "reason": outcome.reason if outcome else None,
        **({"why": record.why.as_dict(most=_SHOWN_LAYERS)} if record.why is not None else {}),
    }


def _precision_share(record: CaseRecord) -> dict[str, Any]:
    """What must run in the precision asked for, and the layers that did not; why that is not known."""
    share = precision_share_of(record.replicates)
    return {
        **({} if record.least_share is None else {"least_precision_share": record.least_share}),
        **({"other_precisions": list(share["others"])} if share.get("others") else {}),
        **({"precision_share_unknown": share["reason"]} if "reason" in share else {}),
    }


def _precision_row(record: CaseRecord) -> dict[str, Any]:
    """The share of the work that ran in the precision asked for, where it is not all, and the sentence on it."""
    share = precision_share_of(record.replicates)
    percent = share.get("percent")
    if percent is not None and percent >= _WHOLE:
        return {"precision_share": None}
    return {"precision_share": percent, **({"precision_note": note} if (note := precision_note(record)) else {})}


def precision_note(record: CaseRecord) -> str:
    """What is to be said of the share that ran in the precision asked for, where no verdict says it; else empty.

    That it is not known of FP32 is no news.
    """
    share = precision_share_of(record.replicates)
    is_short = "percent" in share and share["percent"] < _WHOLE
    is_unknown = "reason" in share and record.case.precision != "fp32"
    is_judged = any(each.metric == PRECISION_SHARE and each.verdict is Verdict.FAILED for each in record.others)
    return str(share["sentence"]) if (is_short or is_unknown) and not is_judged else ""


def _coverage(record: CaseRecord | AccuracyRecord) -> dict[str, Any]:
    """Which share of the work is at the precision, and the sentence on it; nothing where that is all."""
    coverage = record.coverage
    return {} if coverage is None else {"coverage": coverage["share"], "coverage_note": coverage["sentence"]}


def coverage_lines(records: Iterable[CaseRecord | AccuracyRecord]) -> list[str]:
    """For each precision that reaches, or is used for, only a part of the work a line, with the cases."""
    cases: dict[str, list[str]] = {}
    for record in records:
        if record.coverage is not None:
            cases.setdefault(record.coverage["sentence"], []).append(record.case.id)
        if isinstance(record, CaseRecord) and (note := precision_note(record)):
            cases.setdefault(note, []).append(record.case.id)
    return [f"{', '.join(names)}: {sentence}" for sentence, names in cases.items()]


def _loadgen(facts: Mapping[str, Any]) -> str | None:
    """MLPerf's judgement for the table, with a label on runs that are shorter than its rules ask for."""
    service = facts.get("service")
    if service is None:
        return None
    word = "VALID" if service["valid"] else "INVALID"
    return f"{word}, short ({service['seconds']:g} s)" if service["is_short"] else word


def accuracy_facts(record: AccuracyRecord) -> dict[str, Any]:
    """What is known of an accuracy case; `top1_bits` has a bit per image, so that two files can be paired."""
    accuracy = record.accuracy
    assert accuracy is not None
    return {
        "case": record.case.id,
        "model": record.case.model,
        "precision": record.case.precision,
        "backend": record.case.backend,
        "dataset": record.network.dataset,
        "fingerprint": record.fingerprint.slug if record.fingerprint else None,
        "tolerance": record.outcome.margin if record.outcome else None,
        "images": accuracy.images,
        "top1": accuracy.top1_percent,
        "top5": accuracy.top5_percent,
        "not_finite": accuracy.not_finite,
        "images_per_second": accuracy.images / accuracy.elapsed if accuracy.elapsed > 0 else None,
        "unit": "images",
        **_input(record),
        "engine_images_per_second": accuracy.images / accuracy.seconds if accuracy.seconds > 0 else None,
        "top1_bits": base64.b64encode(np.packbits(accuracy.top1).tobytes()).decode(),
        "verdict": str(record.outcome.verdict) if record.outcome else None,
    }


def accuracy_row(record: AccuracyRecord) -> dict[str, Any]:
    """The row of the table: with FP32's accuracy, the discordant images and the agreement of the predictions."""
    outcome, accuracy, reference = record.outcome, record.accuracy, record.reference
    assert accuracy is not None
    row = {"kind": "accuracy", **accuracy_facts(record), **_coverage(record)}
    row |= {
        "base": outcome.base if outcome else None,
        "change": outcome.change if outcome else None,
        "upper": outcome.upper if outcome else None,
    }
    if reference is not None and reference.images == accuracy.images:
        row["lost"] = int((reference.top1 & ~accuracy.top1).sum())
        row["gained"] = int((~reference.top1 & accuracy.top1).sum())
        row["agreement"] = float((reference.predictions == accuracy.predictions).mean())
    return row
