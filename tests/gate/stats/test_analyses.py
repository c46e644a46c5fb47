"""Alpha spending: testing several times costs what was planned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.gate.stats.analyses import AnalysisPlan

COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=5, unique=True).map(lambda counts: tuple(sorted(counts)))


@given(COUNTS, st.floats(1e-6, 0.5))
def test_the_analyses_spend_as_much_as_one_analysis_would(counts, alpha):
    plan = AnalysisPlan(counts)
    levels = [plan.allowance(analysis, alpha) for analysis in range(len(counts))]
    assert min(levels) > 0
    assert sum(levels) == pytest.approx(alpha)
    # Kim and DeMets' power family: alpha × fraction ** 1.5 is spent by the time that the fraction is there.
    assert levels[0] == pytest.approx(alpha * (counts[0] / counts[-1]) ** 1.5)


@given(COUNTS, st.floats(1e-9, 1.0))
def test_a_sequential_p_is_the_smallest_level_that_allows_it(counts, p):
    plan = AnalysisPlan(counts)
    for analysis in range(len(counts)):
        level = float(plan.sequential_p(analysis, p))
        assert level >= p * (1 - 1e-9)
        if level < 1:
            assert plan.allowance(analysis, level) == pytest.approx(p, rel=1e-6)


def test_testing_at_every_analysis_keeps_the_error():
    random = np.random.default_rng(7)
    plan = AnalysisPlan((4, 8, 12, 20))
    from scipy.stats import norm

    paths = np.cumsum(random.standard_normal((40_000, 20)), axis=1)
    smallest = np.ones(len(paths))
    for analysis, count in enumerate(plan.counts):
        p = norm.sf(paths[:, count - 1] / np.sqrt(count))
        smallest = np.minimum(smallest, plan.sequential_p(analysis, p))
    # Binomial standard error at 5 % of 40,000 is 0.11 points; the union bound may only err to the safe side.
    assert np.mean(smallest <= 0.05) <= 0.05 + 4 * 0.0011
    assert np.mean(smallest <= 0.05) > 0.03


@pytest.mark.parametrize("counts", [(), (0, 4), (4, 4), (8, 4)])
def test_a_plan_must_grow(counts):
    with pytest.raises(ValueError, match="increasing"):
        AnalysisPlan(counts)


def test_analyses_below_the_least_reject_nothing_and_leave_their_error_to_the_first_that_may():
    plain, plan = AnalysisPlan((3, 6, 12, 20)), AnalysisPlan((3, 6, 12, 20), least=6)
    assert plan.allowance(0, 0.05) == 0
    assert plan.allowance(1, 0.05) == pytest.approx(plain.allowance(0, 0.05) + plain.allowance(1, 0.05))
    assert sum(plan.allowance(analysis, 0.05) for analysis in range(4)) == pytest.approx(0.05)
    assert plan.sequential_p(0, [1e-9]) == [1.0]
    assert AnalysisPlan((3,), least=6).allowance(0, 0.05) == pytest.approx(0.05)
