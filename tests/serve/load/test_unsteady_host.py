"""A server scenario that an unsteady machine kept from its answer is invalid; a slow engine is an error."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from inferkit.errors import MeasurementError
from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import Recipe
from inferkit.measure.jobs.launch import prepare_network
from inferkit.measure.latency.replicate import Replicate
from inferkit.measure.machine import busy_host
from inferkit.serve.batching.buckets import service_session
from inferkit.serve.load import replicate
from inferkit.serve.load.replicate import ServiceSpec, measure_service
from inferkit.serve.load.search import Probed
from inferkit.suite.campaign.services import with_service_spread
from tests.suite.tiny_project import tiny_model

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mlperf_loadgen") is None, reason="needs pip install mlcommons-loadgen"
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
    folder = tmp_path_factory.mktemp("served")
    onnx.save(tiny_model(), str(folder / "tiny.onnx"))
    prepare_network(Recipe("tiny", str(folder / "tiny.onnx"), "fp32", images=4), folder / "prepared")
    return EngineSpec(str(folder / "prepared"), "onnxruntime", 4)


class Pausing:
    """A session that stops for `pause` seconds at each run of number `every`: what others' use of a machine does."""

    def __init__(self, session: Any, every: int, pause: float) -> None:
        self._session, self._every, self._pause, self._runs = session, every, pause, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def __enter__(self) -> Pausing:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def run(self, *arguments: Any, **options: Any) -> Any:
        self._runs += 1
        if self._runs % self._every == 0:
            time.sleep(self._pause)
        return self._session.run(*arguments, **options)


def served(
    engine: EngineSpec,
    logs: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    every: int,
    pause: float,
    bound: float,
    lowest: float,
) -> Replicate:
    """What the search says of such a session, from `lowest` queries per second on."""

    def opened(made: Any, spec: ServiceSpec) -> Pausing:
        return Pausing(service_session(made, spec.engine.max_batch), every, pause)

    monkeypatch.setattr(replicate, "_opened", opened)
    monkeypatch.setattr(replicate, "probe", lambda *_: Probed(64 * lowest, 1e-6))
    return measure_service(ServiceSpec(engine, "server", str(logs), delay=0.0, bound=bound, seconds=0.2, samples=16))


@pytest.mark.slow
def test_where_only_the_slowest_queries_miss_the_bound_the_machine_is_not_steady(
    engine: EngineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of the 662 queries some 40 come while it pauses, twice, and wait for longer than the bound: more than a hundredth.
    measured = served(engine, tmp_path, monkeypatch, every=300, pause=0.45, bound=0.25, lowest=100)
    assert measured.service is not None
    assert not any(valid for _, valid in measured.service["trials"])
    reasons = " ".join(measured.invalid)
    assert "no rate kept p99 <= 250 ms, not even 100.0 queries/s, though half of its queries" in reasons
    assert "longer `duration`" in busy_host.hint_for(reasons)


def test_an_engine_too_slow_for_the_bound_is_an_error(
    engine: EngineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicate, "samples_needed", lambda percentile: 5)  # every query is too slow: few will do
    with pytest.raises(MeasurementError, match="half of whose queries took more than"):
        served(engine, tmp_path, monkeypatch, every=1, pause=0.02, bound=0.01, lowest=10)


def test_processes_that_differ_too_much_are_undecided_with_their_spread() -> None:
    process = SimpleNamespace(service={"datum": "time per item"})
    record: Any = SimpleNamespace(log_medians=tuple(np.log([0.01, 0.011, 0.0102])), replicates=[process])
    undecided = Outcome("case", LATENCY, Verdict.INCONCLUSIVE, reason="cannot gate at 5 %")
    outcome = with_service_spread(undecided, record)
    assert outcome.reason == "cannot gate at 5 %; the time per item of its 3 processes differs by up to 10.0%"
    assert "--replicates" in outcome.hint
    passed = Outcome("case", LATENCY, Verdict.PASS)
    assert with_service_spread(passed, record) is passed
