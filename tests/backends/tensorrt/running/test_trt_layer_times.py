"""Seconds per layer from what a profiler told of each run."""

from __future__ import annotations

import pytest

from inferkit.backends.tensorrt.running.executor import median_seconds


def test_one_disturbed_run_is_not_told_as_the_layers_time() -> None:
    runs = [{"conv": 0.02, "pool": 0.01}, {"conv": 7.0, "pool": 0.01}, {"conv": 0.03, "pool": 0.02}]
    assert median_seconds(runs) == pytest.approx({"conv": 3e-5, "pool": 1e-5})
    assert list(median_seconds(runs)) == ["conv", "pool"]


def test_a_run_that_tells_nothing_counts_as_none() -> None:
    assert median_seconds([{}, {"conv": 0.02}, {"conv": 0.04, "late": 1.0}]) == pytest.approx(
        {"conv": 3e-5, "late": 1e-3}
    )
    assert median_seconds([{}, {}]) == {}
