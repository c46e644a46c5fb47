"""The suite under pytest-xdist: a GPU for each worker, one error for all of them, and one run in the end.

A worker does not know which cases it will get, so each is measured and judged when its test comes. What a worker
measured travels to the controller when it ends, and there becomes one run: one JSON, one line in the history, one
exit code.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from inferkit.errors import BackendUnavailable, InferkitError

_OUTPUT, _TRACES = "inferkit", "inferkit_traces"
# What is keyed by case, by fingerprint or by name, and so can be merged.
_MERGED = ("fingerprints", "baselines", "screened", "cases", "accuracy", "unsupported", "failures")

_REFERENCES = ("references", "memory_references")


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of several that run tests at the same time."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Whether this process hands the tests out to others."""
    return not is_worker(config) and getattr(config.option, "dist", "no") != "no"


def refuse(config: pytest.Config) -> None:
    """UsageError for what cannot be done by several processes at the same time."""
    from inferkit.suite.session.options import option

    if (is_worker(config) or is_controller(config)) and option(config, "against"):
        raise pytest.UsageError(
            "--against measures in interleaved blocks and needs the machine for itself: run without -n"
        )
    if (is_worker(config) or is_controller(config)) and option(config, "ray"):
        raise pytest.UsageError("--ray has workers of its own: run without -n")


def take_gpu(config: pytest.Config) -> None:
    """Give this worker a GPU of its own by $INFERKIT_GPU, in turn where there are more workers; unless one is named.

    A lease keeps workers that share one from measuring at the same time.
    """
    from inferkit.backends.gpus import DEVICE, visible_gpus

    if os.environ.get(DEVICE):
        return
    try:
        gpus = visible_gpus()
    except (BackendUnavailable, InferkitError):
        return
    number = str(getattr(config, "workerinput", {}).get("workerid", "gw0")).removeprefix("gw")
    os.environ[DEVICE] = gpus[int(number) % len(gpus)].uuid if number.isdigit() else gpus[0].uuid


@dataclass(frozen=True)
class WorkerRun:
    """What a worker leaves for the controller: its record (`run_record`), notes, pytest-benchmark's entries, and raw
    traces (`traces_npz`; empty where no file wants them)."""

    record: dict[str, Any]
    notes: list[str]
    benchmarks: list[dict[str, Any]]
    traces: bytes


def send(config: pytest.Config, run: WorkerRun) -> None:
    """Leave what this worker measured for the controller, which gets it when the worker ends."""
    output: dict[str, Any] | None = getattr(config, "workeroutput", None)
    if output is not None:
        # As text and bytes: what travels between the processes must be made of plain values.
        fields = asdict(run)
        output[_TRACES] = fields.pop("traces")
        output[_OUTPUT] = json.dumps(fields, default=str, allow_nan=False)


def received(node: Any) -> WorkerRun | None:
    """What a worker that ended has left; None of one that measured nothing, or crashed."""
    output = getattr(node, "workeroutput", None) or {}
    return WorkerRun(**json.loads(output[_OUTPUT]), traces=output[_TRACES]) if _OUTPUT in output else None


def merged(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The records of several workers (`run_record`) as that of one run; the first one's where there can be one only.

    In the order of the cases' names, since which worker had which case is chance.
    """
    result = dict(records[0])
    for key in _MERGED:
        both = {name: value for record in records for name, value in record[key].items()}
        result[key] = {name: both[name] for name in sorted(both, key=by_name)}
    outcomes = [outcome for record in records for outcome in record["outcomes"]]
    result["outcomes"] = sorted(outcomes, key=lambda outcome: by_name(outcome["case"]))
    declared: dict[str, dict[str, None]] = {}
    for record in records:
        for slug, names in record["declared"].items():
            declared.setdefault(slug, {}).update(dict.fromkeys(names))
    result["remarks"] = list(dict.fromkeys(remark for record in records for remark in record["remarks"]))
    result["busy_host"] = [name for record in records for name in record["busy_host"]]
    result["declared"] = {slug: list(names) for slug, names in declared.items()}
    return result | {key: _pooled([record[key] for record in records]) for key in _REFERENCES}


def _pooled(records: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """A reference network by fingerprint slug, with the replicates of all workers."""
    references: dict[str, dict[str, Any]] = {}
    for record in records:
        for slug, reference in record.items():
            earlier = references.get(slug)
            logs = (earlier["log_medians"] if earlier else []) + reference["log_medians"]
            references[slug] = {**(earlier or reference), "log_medians": logs}
    return references


def by_name(name: str) -> list[tuple[int, str]]:
    """A key to sort by: numbers in a name by their value, so that batch 8 comes before batch 64."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
