"""The gate on recorded noise: identical engines in fresh H100 processes, run noisily and quietly."""

import numpy as np
import pytest

from tools.gate.numbers import splits
from tools.gate.read import medians, read_recordings
from tools.gate.rules import is_slower

CASES = {name: medians(case) for name, case in read_recordings().items()}


def share_regressed(values, slowdown):
    ways = list(splits(len(values), 3))[::9] if len(values) > 6 else list(splits(len(values), 3))
    slower = [is_slower(values[list(base)], values[list(head)] + np.log1p(slowdown)) for base, head in ways]
    return sum(slower) / len(ways)


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("graph")])
def test_graph_replay_raises_no_false_alarm_and_finds_two_percent(name):
    assert share_regressed(CASES[name], 0.0) == 0
    assert share_regressed(CASES[name], 0.02) >= 0.95


@pytest.mark.parametrize("name", [name for name in CASES if len(CASES[name]) >= 6])
def test_plain_enqueue_hardly_raises_false_alarms(name):
    assert share_regressed(CASES[name], 0.0) <= 0.05  # one of the 20 ways to split six processes
