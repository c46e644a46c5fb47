"""Times measured elsewhere reach pytest-benchmark as they are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferkit.suite.replay import ReplayTimer, replay, thinned

positive = st.floats(1e-9, 1e3)


@given(st.lists(positive, min_size=1, max_size=50))
def test_the_difference_of_two_looks_is_the_recorded_time_to_the_last_bit(times):
    timer = ReplayTimer()
    assert timer.record(times) == len(times)
    assert [-timer() + timer() for _ in times] == times


def test_pytest_benchmarks_own_fixture_takes_them(benchmark):
    # The fixture of this very run, with the timer that the plugin gives by the marker.
    timer = ReplayTimer()
    benchmark._timer = timer
    replay(benchmark, timer, [0.5, 0.25, 1.0])
    if benchmark.enabled:
        assert benchmark.stats.stats.data == [0.5, 0.25, 1.0]


@given(st.lists(hnp.arrays(float, st.integers(1, 300), elements=positive), min_size=1, max_size=4), st.integers(2, 100))
def test_thinning_keeps_the_ends_and_the_order_of_each_replicate(walls, most):
    kept = thinned(walls, most)
    assert len(kept) == sum(min(len(wall), most) for wall in walls)
    assert kept[0] == walls[0][0]
    assert kept[-1] == walls[-1][-1]
    assert set(kept) <= set(np.concatenate(walls).tolist())
