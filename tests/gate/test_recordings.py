"""The gate on recorded noise: identical engines in fresh H100 processes, run noisily and quietly."""

import numpy as np
import pytest

from inferkit.gate.outcome import Verdict
from inferkit.gate.stats.analyses import SINGLE_ANALYSIS
from inferkit.gate.stats.effect import independent
from inferkit.gate.stats.judge import judge
from tools.gate_numbers import medians, read_recordings, splits

CASES = {name: medians(case) for name, case in read_recordings().items()}


def share_regressed(values, slowdown):
    ways = list(splits(len(values), 3))[::9] if len(values) > 6 else list(splits(len(values), 3))
    hits = 0
    for base, head in ways:
        evidence = independent(values[list(base)], values[list(head)] + np.log1p(slowdown))
        hits += judge([evidence], [0.02], plan=SINGLE_ANALYSIS)[0].verdict is Verdict.REGRESSED
    return hits / len(ways)


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("graph")])
def test_graph_replay_never_cries_wolf_and_finds_two_percent(name):
    assert share_regressed(CASES[name], 0.0) == 0
    assert share_regressed(CASES[name], 0.02) >= 0.95


@pytest.mark.parametrize("name", [name for name in CASES if len(CASES[name]) >= 6])
def test_plain_enqueue_hardly_cries_wolf(name):
    assert share_regressed(CASES[name], 0.0) <= 0.05  # one of the 20 ways to split six processes
