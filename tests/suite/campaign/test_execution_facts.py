"""What is told of the execution on a GPU: the device's own time, process by process."""

from __future__ import annotations

import numpy as np
import pytest

from inferkit.gate.metrics import EXECUTION as METRIC
from inferkit.gate.metrics import METRICS, data_of
from inferkit.measure.latency.replicate import Replicate

WALL, EXECUTION = 400e-6, 300e-6


def replicate(*executions: float, gpu: bool = True) -> Replicate:
    trace = np.array([[n * WALL, 50e-6, value, 40e-6, WALL, 5e-6] for n, value in enumerate(executions)])
    seen = {"sm_mhz_mean": 1980.0} if gpu else None
    return Replicate(trace, np.log(WALL), 1, None, None, None, None, None, None, {}, {}, gpu=seen)


def log_execution(*replicates: Replicate, mode: str = "latency") -> tuple[float, ...]:
    return data_of(mode, replicates).get(METRICS[METRIC].datum, ())


def test_it_is_the_median_of_each_process_without_copies_and_host():
    found = log_execution(replicate(EXECUTION, 9e-4, EXECUTION), replicate(2 * EXECUTION))
    assert np.exp(found) == pytest.approx([EXECUTION, 2 * EXECUTION])


def test_on_a_cpu_there_is_none_beside_the_wall_time():
    assert log_execution(replicate(EXECUTION), replicate(EXECUTION, gpu=False)) == ()


def test_a_service_tells_none():
    assert log_execution(replicate(np.nan)) == ()


def test_rounds_of_batches_that_overlap_tell_none():
    assert log_execution(replicate(EXECUTION), mode="throughput") == ()
