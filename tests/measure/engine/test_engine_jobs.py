"""Jobs of every kind carry one engine spec, and travel to their process as JSON."""

from __future__ import annotations

import json

import pytest

from inferkit.measure.accuracy.top_k import AccuracySpec
from inferkit.measure.engine.engine_file import EngineJob, EngineSpec
from inferkit.measure.latency.replicate import ReplicateSpec
from inferkit.measure.scaling.worker import WindowSpec
from inferkit.serve.load.replicate import ServiceSpec

ENGINE = EngineSpec("folder", "tensorrt", 8, {"static": True}, "engine.plan")


@pytest.mark.parametrize(
    "job",
    [
        ReplicateSpec(ENGINE, {"mode": "throughput"}, min_time=0.2, inject={"latency": 1.0}),
        AccuracySpec(ENGINE, "images.npz", {"scale": 0.5}, start=100, count=50),
        WindowSpec(ENGINE, cpus=(0, 2), device="0"),
        ServiceSpec(ENGINE, "server", "logs", dataset="images.npz", accuracy=True),
    ],
    ids=lambda job: type(job).__name__,
)
def test_a_job_is_the_same_after_json(job: EngineJob) -> None:
    text = json.dumps(job.as_dict())
    received = type(job).from_dict(json.loads(text))
    assert received.engine == ENGINE
    assert json.dumps(received.as_dict()) == text
