"""Times measured elsewhere reach pytest-benchmark as they are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferkit.suite.session.replay import ReplayTimer, thinned

positive = st.floats(1e-9, 1e3)


@given(st.lists(positive, min_size=1, max_size=50))
def test_the_difference_of_two_looks_is_the_recorded_time_to_the_last_bit(times):
    timer = ReplayTimer()
    assert timer.record(times) == len(times)
    assert [-timer() + timer() for _ in times] == times  # 0.0 first, so nothing is rounded


@given(st.lists(hnp.arrays(float, st.integers(1, 300), elements=positive), min_size=1, max_size=4), st.integers(2, 100))
def test_thinning_keeps_the_ends_and_the_order_of_each_replicate(walls, most):
    kept = thinned(walls, most)
    assert len(kept) == sum(min(len(wall), most) for wall in walls)
    assert kept[0] == walls[0][0]
    assert kept[-1] == walls[-1][-1]
    assert set(kept) <= set(np.concatenate(walls).tolist())
