"""Alpha spending: published values, and that looking several times costs what was planned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.gate.stats.analyses import SPENDING, AnalysisPlan, spent

# Lan and DeMets' O'Brien-Fleming-type function at one-sided 0.025, four equal looks, as tabulated in
# Proschan, Lan and Wittes, "Statistical Monitoring of Clinical Trials" (2006): cumulative alpha.
PUBLISHED_OBRIEN_FLEMING = {0.25: 0.00001, 0.5: 0.0015, 0.75: 0.0097, 1.0: 0.0250}
# The Pocock-type function at the same looks: alpha ln(1 + (e - 1) t).
PUBLISHED_POCOCK = {0.25: 0.00893, 0.5: 0.01550, 0.75: 0.02070, 1.0: 0.02500}


@pytest.mark.parametrize(("fraction", "value"), PUBLISHED_OBRIEN_FLEMING.items())
def test_obrien_fleming_spending_is_the_published_one(fraction, value):
    assert float(spent(fraction, 0.025, "obrien-fleming")) == pytest.approx(value, abs=6e-5)  # four printed decimals


@pytest.mark.parametrize(("fraction", "value"), PUBLISHED_POCOCK.items())
def test_pocock_spending_is_the_published_one(fraction, value):
    assert float(spent(fraction, 0.025, "pocock")) == pytest.approx(value, abs=6e-6)


@given(st.sampled_from(SPENDING), st.floats(1e-6, 0.5), st.floats(0, 1), st.floats(0, 1))
def test_spending_grows_from_nothing_to_all(family, alpha, one, other):
    low, high = sorted((one, other))
    assert float(spent(0.0, alpha, family)) == 0
    assert float(spent(1.0, alpha, family)) == pytest.approx(alpha)
    assert float(spent(low, alpha, family)) <= float(spent(high, alpha, family)) + 1e-15


@given(
    st.sampled_from(SPENDING),
    st.lists(st.integers(1, 60), min_size=1, max_size=5, unique=True).map(lambda c: tuple(sorted(c))),
    st.floats(1e-9, 1.0),
)
def test_a_sequential_p_is_the_smallest_level_that_allows_it(family, counts, p):
    plan = AnalysisPlan(counts, family)
    for look in range(len(counts)):
        level = float(plan.sequential_p(look, p))
        assert level >= p * (1 - 1e-9)
        if level < 0.2:
            assert float(plan.allowance(look, level)) == pytest.approx(p, rel=1e-6)


@pytest.mark.parametrize("family", SPENDING)
def test_peeking_at_every_look_keeps_the_error(family):
    random = np.random.default_rng(7)
    plan = AnalysisPlan((4, 8, 12, 20), family)
    from scipy.stats import norm

    paths = np.cumsum(random.standard_normal((40_000, 20)), axis=1)
    smallest = np.ones(len(paths))
    for look, count in enumerate(plan.counts):
        p = norm.sf(paths[:, count - 1] / np.sqrt(count))
        smallest = np.minimum(smallest, plan.sequential_p(look, p))
    # Binomial standard error at 5 % of 40,000 is 0.11 points; the union bound may only err to the safe side.
    assert np.mean(smallest <= 0.05) <= 0.05 + 4 * 0.0011
    assert np.mean(smallest <= 0.05) > 0.03


@pytest.mark.parametrize("counts", [(), (0, 4), (4, 4), (8, 4)])
def test_a_plan_must_grow(counts):
    with pytest.raises(ValueError, match="increasing"):
        AnalysisPlan(counts)


def test_looks_below_the_least_reject_nothing_and_leave_their_error_to_the_first_that_may():
    plain, plan = AnalysisPlan((3, 6, 12, 20)), AnalysisPlan((3, 6, 12, 20), least=6)
    assert plan.allowance(0, 0.05) == 0
    assert plan.allowance(1, 0.05) == pytest.approx(plain.allowance(0, 0.05) + plain.allowance(1, 0.05))
    assert sum(plan.allowance(look, 0.05) for look in range(4)) == pytest.approx(0.05)
    assert plan.sequential_p(0, [1e-9]) == [1.0]
    assert AnalysisPlan((3,), least=6).allowance(0, 0.05) == pytest.approx(0.05)
