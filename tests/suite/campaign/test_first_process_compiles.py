"""Where the first process compiles kernels for the others, memory and cold start are those of the others."""

from __future__ import annotations

import numpy as np
import pytest

from inferkit.gate.metrics import COLD_START, HOST_MEMORY
from inferkit.gate.outcome import Verdict
from inferkit.gate.rules.beside_latency import JudgedPair, judge_metrics
from inferkit.gate.run import CaseRun
from inferkit.measure.case import Case
from inferkit.measure.latency.replicate import Replicate
from inferkit.suite.campaign.records import CaseRecord
from inferkit.suite.matrix.definition import NetworkDefinition

# GoogLeNet, FP16, batch 1, TensorRT-RTX 1.6 on an H200: host memory in bytes and cold start in seconds of each process.
COMPILED = (1_619_177_472, 7.80)
FOUND = [(442_912_768, 1.513), (442_884_096, 1.525), (442_961_920, 1.515), (443_158_528, 1.475)]


def measured(processes: list[tuple[int, float]], compiled: int) -> CaseRun:
    """Of a run whose first `compiled` processes compiled."""
    record = CaseRecord(Case("googlenet", "fp16", 1, "tensorrt"), NetworkDefinition("googlenet", "googlenet"), 0.02)
    trace = np.array([[0.0, 1e-5, 6e-4, 1e-5, 6.7e-4, 1e-5]])
    for number, (memory, seconds) in enumerate(processes):
        record.replicates.append(
            Replicate(
                trace,
                float(np.log(6.7e-4)),
                memory,
                None,
                None,
                seconds,
                None,
                None,
                None,
                {},
                {},
                compiled=number < compiled,
            )
        )
    return record.measured()


def verdicts(base: CaseRun, head: CaseRun) -> dict[str, Verdict]:
    return {each.metric: each.verdict for each in judge_metrics([JudgedPair(base, head, 0.02)])}


def test_the_process_that_compiled_is_left_out():
    data = measured([COMPILED, *FOUND], 1).data
    assert data["memories"] == tuple(memory for memory, _ in FOUND)
    assert data["cold_start"] == tuple(seconds for _, seconds in FOUND)


def test_where_all_compiled_all_count():
    assert len(measured([COMPILED] * 3, 3).data["memories"]) == 3


@pytest.mark.parametrize("processes", [3, 5])  # of which one compiled
@pytest.mark.parametrize(("factor", "verdict"), [(1.0, Verdict.PASS), (1.2, Verdict.REGRESSED)])
def test_a_fifth_more_host_memory_is_found(processes: int, factor: float, verdict: Verdict):
    base = measured([COMPILED, *FOUND], 1)
    grown = [(int(memory * factor), seconds) for memory, seconds in [COMPILED, *FOUND][:processes]]
    assert verdicts(base, measured(grown, 1))[HOST_MEMORY] is verdict


def test_starting_twice_as_slowly_is_found():
    base = measured([COMPILED, *FOUND], 1)
    slower = [(memory, 2 * seconds) for memory, seconds in [COMPILED, *FOUND]]
    assert verdicts(base, measured(slower, 1))[COLD_START] is Verdict.REGRESSED


def test_two_processes_of_base_and_of_head_tell_no_noise():
    two = measured([COMPILED, *FOUND[:2]], 1)
    assert HOST_MEMORY not in verdicts(two, two)
