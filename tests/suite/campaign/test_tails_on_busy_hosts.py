"""A tail is judged where only the engine makes it: a neighbour's time slice is longer than many an engine takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inferkit.gate.metrics import LATENCY, METRICS, P99, data_of
from inferkit.measure.latency.iterations import COLUMNS
from inferkit.measure.latency.replicate import Replicate
from inferkit.measure.machine.host import HostActivity

TRACE = np.full((700, len(COLUMNS)), 1e-3)
QUIET = {**HostActivity(1.0, 0.1, 0.1, others=0.02, stolen=0.0, governor=None).as_dict(), "cpus": 2}
ONE = Replicate(TRACE, float(np.log(1e-3)), 1, None, None, None, None, None, None, {}, QUIET)


def tails(*replicates: Replicate) -> tuple[float, ...]:
    data = data_of("latency", replicates)
    assert len(data[METRICS[LATENCY].datum]) == len(replicates)
    return data.get(METRICS[P99].datum, ())


def test_quiet_processes_have_one_each():
    assert np.exp(tails(ONE, ONE)) == pytest.approx([1e-3, 1e-3])


def test_one_process_beside_others_takes_it_from_the_case():
    assert tails(ONE, replace(ONE, host={**QUIET, "others": 1.0})) == ()
    assert tails(ONE, replace(ONE, host={**QUIET, "stolen": 0.5})) == ()


def test_a_gpu_waits_for_no_neighbour_of_the_cpu():
    on_gpu = replace(ONE, host={**QUIET, "others": 1.0}, gpu={"sm_mhz_mean": 1980.0})
    assert len(tails(ONE, on_gpu)) == 2
