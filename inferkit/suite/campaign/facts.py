"""The figures of a case, derived from its raw traces: for the table, for extra_info, for the JSON."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.gate.builds import build_spread
from inferkit.measure.latency import statistics
from inferkit.measure.latency.iterations import COMPUTE
from inferkit.measure.latency.replicate import Replicate
from inferkit.suite.campaign.explain import layers_of
from inferkit.suite.campaign.records import AccuracyRecord, CaseRecord

_SHOWN_LAYERS = 8


def latency_facts(record: CaseRecord) -> dict[str, Any]:
    """What is known of a measured latency case. Times in seconds, memory in bytes; None where it is not known."""
    replicates = record.replicates
    started = _started_alike(replicates)
    walls = np.concatenate([each.walls for each in replicates])
    centre = statistics.centre(record.log_medians)
    return {
        "case": record.case.id,
        "model": record.case.model,
        "precision": record.case.precision,
        "batch_size": record.case.batch_size,
        "backend": record.case.backend,
        "mode": record.case.mode,
        "fingerprint": record.fingerprint.slug if record.fingerprint else None,
        "margin": record.margin,
        "log_medians": list(record.log_medians),
        "centre": centre,
        "spread": statistics.spread(record.log_medians),
        "log_p99": [] if _in_rounds(record) else log_p99(replicates),
        "log_execution": [] if _in_rounds(record) else log_execution(replicates),
        "memories": [each.memory for each in started],
        **_percentiles(record, walls),
        "samples": len(walls),
        "images_per_second": statistics.images_per_second(centre, record.case.batch_size),
        "memory": _middle([each.memory for each in started]),
        "device_memory": _middle([each.device_memory for each in replicates]),
        "engine_bytes": _middle([each.engine_bytes for each in replicates]),
        "build_seconds": _all([each.build_seconds for each in replicates]),
        "cold_start": _all([each.cold_start for each in started]),
        "verdict": str(record.outcome.verdict) if record.outcome else None,
        **_service_facts(record),
        **_builds(record),
    }


def _started_alike(replicates: Sequence[Replicate]) -> Sequence[Replicate]:
    """Those that found their kernels compiled, where there are any: compiling takes seconds and a gigabyte."""
    return [each for each in replicates if not each.compiled] or replicates


def _percentiles(record: CaseRecord, walls: NDArray[np.float64]) -> dict[str, float | None]:
    """Over all iterations; of rounds only their median, since a mean hides the tail of its batches."""
    known = statistics.percentiles(walls)
    return {**dict.fromkeys(known), "p50": known["p50"]} if _in_rounds(record) else known


def _in_rounds(record: CaseRecord) -> bool:
    """Whether an iteration is a round, with the mean of many batches (throughput mode)."""
    return record.case.mode == "throughput"


def _builds(record: CaseRecord) -> dict[str, Any]:
    """Of which build each replicate is and how builds differ, where there are several; the network's digest."""
    told: dict[str, Any] = {} if record.network_digest is None else {"network": record.network_digest}
    if record.build_numbers:
        spread = build_spread(record.log_medians, record.build_numbers)
        told |= {"builds": list(record.build_numbers), "build_spread": spread.as_dict()}
    return told


def _service_facts(record: CaseRecord) -> dict[str, Any]:
    """What the load generator says of a service case, medians over its processes; nothing for other cases."""
    told = [each.service for each in record.replicates if each.service is not None]
    if not told:
        return {}
    figures = ("p50", "p90", "p95", "p99", "images_per_second")
    known = {name: [float(each[name]) for each in told if each.get(name) is not None] for name in figures}
    medians = {name: median(values) if values else None for name, values in known.items()}
    return {
        **medians,
        "samples": sum(int(each.get("queries") or 0) for each in told),
        "service": {
            "datum": told[0]["datum"],
            "valid": all(each["valid"] for each in told),
            "is_short": any(each["is_short"] for each in told),
            "seconds": told[0]["seconds"],
            "bound": told[0]["bound"],
            "top1": record.service_top1,
        },
    }


def log_p99(replicates: Sequence[Replicate]) -> list[float]:
    """Logarithms of each replicate's 99th percentile; none where a replicate has too few samples for one."""
    found = [statistics.percentile(each.walls, 99.0) for each in replicates]
    return [] if None in found else [float(np.log(value)) for value in found if value is not None]


def log_execution(replicates: Sequence[Replicate]) -> list[float]:
    """Logarithms of each replicate's median execution on its GPU; none on a CPU, where it is the wall time."""
    if any(each.gpu is None for each in replicates):
        return []
    found = [float(np.median(each.trace[:, COMPUTE])) for each in replicates]
    return [math.log(value) for value in found] if all(value > 0 for value in found) else []


def latency_details(record: CaseRecord) -> dict[str, Any]:
    """The facts, and what is too long for pytest-benchmark's extra_info: each replicate, the backend's own details."""
    told = next((each.details for each in record.replicates if each.details), {})
    layers = [row.as_dict() for row in layers_of(record.replicates)]
    return {
        **latency_facts(record),
        "version": record.replicates[0].version,
        "flavour": record.replicates[0].flavour,
        "replicates": [_replicate(each) for each in record.replicates],
        "discarded": [_replicate(each) for each in record.discarded],
        "details": {key: value for key, value in told.items() if key != "layers"},
        **({"layers": layers} if layers else {}),
        **({"why": record.why.as_dict()} if record.why is not None else {}),
        **({"against": _against(record)} if record.before else {}),
    }


def _against(record: CaseRecord) -> dict[str, Any]:
    """The other side of an interleaved run; its raw traces are in the file of traces as `CASE/before0`, …"""
    return {"ref": record.against, "log_medians": [each.log_median for each in record.before]}


def _replicate(replicate: Replicate) -> dict[str, Any]:
    known = replicate.as_dict()
    return {key: value for key, value in known.items() if key not in ("details", "version", "flavour")} | {
        "iterations": len(replicate.trace)
    }


def latency_row(record: CaseRecord) -> dict[str, Any]:
    """The row of the table."""
    outcome = record.outcome
    facts = latency_facts(record)
    return {
        "kind": "service" if "service" in facts else "latency",
        **facts,
        "loadgen": _loadgen(facts),
        "baseline": outcome.baseline if outcome else None,
        "change": outcome.change if outcome else None,
        "reason": outcome.reason if outcome else None,
        **({"why": record.why.as_dict(most=_SHOWN_LAYERS)} if record.why is not None else {}),
    }


def _loadgen(facts: Mapping[str, Any]) -> str | None:
    """MLPerf's judgement for the table, with a label on runs that are shorter than its rules ask for."""
    service = facts.get("service")
    if service is None:
        return None
    word = "VALID" if service["valid"] else "INVALID"
    return f"{word}, short ({service['seconds']:g} s)" if service["is_short"] else word


def accuracy_facts(record: AccuracyRecord) -> dict[str, Any]:
    """What is known of an accuracy case; `top1_bits` has a bit per image, so that two files can be paired."""
    found = record.found
    assert found is not None
    return {
        "case": record.case.id,
        "model": record.case.model,
        "precision": record.case.precision,
        "backend": record.case.backend,
        "dataset": record.network.dataset,
        "fingerprint": record.fingerprint.slug if record.fingerprint else None,
        "tolerance": record.outcome.margin if record.outcome else None,
        "images": found.images,
        "top1": found.top1_percent,
        "top5": found.top5_percent,
        "not_finite": found.not_finite,
        "images_per_second": found.images / found.elapsed if found.elapsed > 0 else None,
        "engine_images_per_second": found.images / found.seconds if found.seconds > 0 else None,
        "top1_bits": base64.b64encode(np.packbits(found.top1).tobytes()).decode(),
        "verdict": str(record.outcome.verdict) if record.outcome else None,
    }


def accuracy_row(record: AccuracyRecord) -> dict[str, Any]:
    """The row of the table: with FP32's accuracy, the discordant images and the agreement of the predictions."""
    outcome, found, reference = record.outcome, record.found, record.reference
    assert found is not None
    row = {"kind": "accuracy", **accuracy_facts(record)}
    row |= {
        "baseline": outcome.baseline if outcome else None,
        "change": outcome.change if outcome else None,
        "upper": outcome.upper if outcome else None,
    }
    if reference is not None and reference.images == found.images:
        row["lost"] = int((reference.top1 & ~found.top1).sum())
        row["gained"] = int((~reference.top1 & found.top1).sum())
        row["agreement"] = float((reference.predictions == found.predictions).mean())
    return row


def _middle(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return int(median(known)) if known else None


def _all(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None]
