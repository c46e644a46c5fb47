"""MLPerf's scenarios, with its own load generator: SingleStream, MultiStream, Server and Offline against a Batcher.

The load generator makes the arrivals, takes the times (latency from the scheduled arrival), judges VALID or INVALID
and writes its logs; this file is the system under test. Source: MLCommons, "MLPerf Inference Rules".
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from inferkit.errors import BackendUnavailable, MeasurementError, UsageError

if TYPE_CHECKING:
    from inferkit.serve.batching.batcher import Batcher
    from inferkit.serve.batching.requests import Outputs
    from inferkit.serve.load.samples import Samples

SCENARIOS = {
    "single-stream": "SingleStream",
    "multi-stream": "MultiStream",
    "server": "Server",
    "offline": "Offline",
}
OFFICIAL_SECONDS = 600.0  # MLPerf's rules: shorter runs are not results that may be published
_UNDER_WAY = 4  # batches that wait at the batcher in MultiStream and Offline


@dataclass(frozen=True)
class Load:
    """The load to generate. `rate` (queries per second) and `bound` (seconds at `percentile`) are for `server`.

    For `offline`, `rate` is the expected one, in samples per second: a guess too low makes the run too short, so
    INVALID. So does too high an `expected`, the seconds that a query of the streams takes. `accuracy` runs each
    sample once, and at the end of multi-stream some again.
    """

    scenario: str
    seconds: float = 10.0
    expected: float = 0.0005
    rate: float = 100.0
    bound: float = 0.015
    percentile: float = 0.99
    queries: int = 100
    samples_per_query: int = 8
    accuracy: bool = False
    seed: int = 20_180_213


@dataclass(frozen=True)
class LoadResult:
    """What the load generator says: `valid` (None in accuracy mode), why not, and its figures by their own names.

    `top1` is in percent, accuracy mode only. `logs` is the folder of its logs. `is_short`: less than MLPerf asks for.
    """

    load: Load
    valid: bool | None
    reasons: tuple[str, ...]
    figures: dict[str, Any] = field(default_factory=dict)
    top1: float | None = None
    logs: Path | None = None

    @property
    def is_short(self) -> bool:
        """Whether the run is shorter than MLPerf's rules ask for: good for CI, not for publishing."""
        return self.load.seconds < OFFICIAL_SECONDS

    def latency(self, percentile: str) -> float | None:
        """Seconds at `percentile`, such as "99.00"; None where the scenario has none."""
        value = self.figures.get(f"result_{percentile}_percentile_latency_ns")
        return None if value is None else float(value) / 1e9

    @property
    def throughput(self) -> float | None:
        """Samples per second that were completed (Server: while the load lasted); None where it is not measured."""
        for key in ("result_completed_samples_per_sec", "result_samples_per_second"):
            if key in self.figures:
                return float(self.figures[key])
        # MultiStream sends a query when the one before is answered, and does not tell its samples per second.
        query = self.figures.get("result_mean_query_latency_ns")
        if query:
            return self.load.samples_per_query * 1e9 / float(query)
        queries = self.figures.get("result_qps_with_loadgen_overhead")
        return None if queries is None else float(queries)


def load_generator() -> ModuleType:
    """MLPerf's load generator. Raises BackendUnavailable where it is not installed."""
    try:
        return import_module("mlperf_loadgen")
    except ImportError as error:
        raise BackendUnavailable(
            f"MLPerf's load generator cannot be imported ({error})", "pip install 'mlcommons-loadgen>=5'"
        ) from error


def run_load(batcher: Batcher, samples: Samples, load: Load, logs: Path) -> LoadResult:
    """Put the load on the batcher and wait for its end; the load generator's logs go to the folder `logs`.

    Class scores are the network's only output, or the one with a usual name.
    Raises UsageError for an invalid load, MeasurementError where a request failed or a log is missing.
    """
    if load.scenario not in SCENARIOS:
        raise UsageError(f"unknown scenario {load.scenario!r}; there are {', '.join(SCENARIOS)}")
    if load.accuracy and samples.labels is None:
        raise UsageError(f"accuracy needs labels, and {samples.description} has none")
    generator = load_generator()
    logs.mkdir(parents=True, exist_ok=True)
    system = _System(generator, batcher, samples, load)
    log_settings = generator.LogSettings()
    log_settings.log_output.outdir = str(logs)
    log_settings.log_output.copy_summary_to_stdout = False
    log_settings.enable_trace = False
    under_test = generator.ConstructSUT(system.issue, system.flush)
    library = generator.ConstructQSL(len(samples), len(samples), lambda indices: None, lambda indices: None)
    try:
        generator.StartTestWithLogSettings(under_test, library, _settings(generator, load, len(samples)), log_settings)
    finally:
        generator.DestroyQSL(library)
        generator.DestroySUT(under_test)
    if system.errors:
        raise MeasurementError(
            f"{len(system.errors)} requests failed; the first: {system.errors[0]}; the logs are in {logs}"
        )
    figures, errors = _read_log(logs / "mlperf_log_detail.txt")
    top1 = _top1(logs / "mlperf_log_accuracy.json", samples) if load.accuracy else None
    valid = None if load.accuracy else figures.get("result_validity") == "VALID"
    return LoadResult(load, valid, _reasons(figures, errors), figures, top1, logs)


class _System:
    """The system under test: samples become requests, and answers become responses."""

    def __init__(self, generator: ModuleType, batcher: Batcher, samples: Samples, load: Load) -> None:
        self._generator, self._batcher, self._samples = generator, batcher, samples
        self._wants_classes = load.accuracy
        self._under_way = threading.BoundedSemaphore(_UNDER_WAY)
        self._has_queue = load.scenario == "offline"
        self.errors: list[BaseException] = []

    def issue(self, queries: Sequence[Any]) -> None:
        """The load generator's call: queries of one or many samples. Never raises: it has nobody to catch it."""
        size = self._batcher.max_batch
        for start in range(0, len(queries), size):
            part = queries[start : start + size]
            numbers = [query.id for query in part]
            if self._has_queue:
                self._under_way.acquire()
            try:
                future = self._batcher.submit(self._samples.rows([query.index for query in part]))
            except Exception as error:
                self._failed(numbers, error)
                continue
            future.add_done_callback(partial(self._done, numbers))

    def flush(self) -> None:
        """Nothing is held back: the batcher's bound ends every wait."""

    def _done(self, numbers: list[int], future: Future[Outputs]) -> None:
        error = future.exception()
        if error is not None:
            self._failed(numbers, error)
            return
        classes = None
        if self._wants_classes:
            try:
                classes = self._classes(future.result(), len(numbers))
            except Exception as wrong:
                self._failed(numbers, wrong)
                return
        self._complete(numbers, classes)

    def _failed(self, numbers: list[int], error: BaseException) -> None:
        self.errors.append(error)
        self._complete(numbers, None)  # or the load generator would wait for ever

    def _complete(self, numbers: list[int], classes: Any) -> None:
        if self._has_queue:
            self._under_way.release()
        make = self._generator.QuerySampleResponse
        if classes is None:
            responses = [make(number, 0, 0) for number in numbers]
        else:
            step = classes.itemsize
            at = classes.ctypes.data
            responses = [make(number, at + index * step, step) for index, number in enumerate(numbers)]
        self._generator.QuerySamplesComplete(responses)

    def _classes(self, outputs: Outputs, rows: int) -> Any:
        from inferkit.measure.accuracy.top_k import scores_output

        name = scores_output(list(outputs))
        scores = outputs[name].reshape(rows, -1)
        # As the accuracy of every other case: a score that is not finite makes its image wrong.
        best = scores.argmax(axis=1).astype("<i4")
        ties = (scores >= scores.max(axis=1, keepdims=True)).sum(axis=1) > 1
        best[ties | np.isnan(scores).any(axis=1)] = -1
        return np.ascontiguousarray(best)


def _settings(generator: ModuleType, load: Load, samples: int) -> Any:
    settings = generator.TestSettings()
    settings.scenario = getattr(generator.TestScenario, SCENARIOS[load.scenario])
    settings.mode = generator.TestMode.AccuracyOnly if load.accuracy else generator.TestMode.PerformanceOnly
    settings.min_duration_ms = max(1, round(load.seconds * 1e3))
    settings.min_query_count = load.queries
    settings.performance_sample_count_override = samples
    settings.qsl_rng_seed = settings.sample_index_rng_seed = settings.schedule_rng_seed = load.seed
    settings.single_stream_expected_latency_ns = round(load.expected * 1e9)
    settings.multi_stream_expected_latency_ns = round(load.expected * 1e9)
    settings.multi_stream_samples_per_query = load.samples_per_query
    settings.server_target_qps = load.rate
    settings.server_target_latency_ns = round(load.bound * 1e9)
    settings.server_target_latency_percentile = load.percentile
    settings.offline_expected_qps = load.rate
    return settings


def _read_log(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The values of the detail log by key, and the messages of its errors."""
    figures: dict[str, Any] = {}
    errors: list[str] = []
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise MeasurementError(f"the load generator left no log {path}: {error.strerror}") from error
    for line in lines:
        if not line.startswith(":::MLLOG "):
            continue
        entry = json.loads(line.removeprefix(":::MLLOG "))
        figures[entry["key"]] = entry["value"]
        if entry.get("metadata", {}).get("is_error"):
            errors.append(str(entry["value"]))
    return figures, errors


def _reasons(figures: dict[str, Any], errors: list[str]) -> tuple[str, ...]:
    """Why a run is INVALID, in the load generator's words."""
    checks = {
        "result_min_duration_met": "minimum duration not met",
        "result_min_queries_met": "minimum number of queries not met",
        "result_perf_constraints_met": "latency bound not met",
        "early_stopping_met": "too few queries to be sure of the percentile (early stopping)",
    }
    unmet = [text for key, text in checks.items() if figures.get(key) is False]
    return (*unmet, *errors)


def _top1(path: Path, samples: Samples) -> float:
    """Percent of the samples whose logged class is their label.

    The load generator fills its last query of many samples up with some that it has sent already: each counts once.
    MeasurementError where a sample is missing or has two answers that differ.
    """
    assert samples.labels is not None
    answers: dict[int, str] = {}
    for entry in json.loads(path.read_text()):
        index, answer = entry["qsl_idx"], entry["data"]
        if answers.setdefault(index, answer) != answer:
            raise MeasurementError(f"{path} has two different answers for sample {index}: {answers[index]}, {answer}")
    if answers.keys() != set(range(len(samples))):
        raise MeasurementError(f"{path} has answers for {len(answers)} of {len(samples)} samples")
    right = sum(
        int(np.frombuffer(bytes.fromhex(answer), "<i4")[0]) == samples.labels[index]
        for index, answer in answers.items()
    )
    return 100 * right / len(samples)
