"""Which cases share their variance: a few far noisier ones are set apart, and never a quiet one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inferkit.gate.outcome import Verdict
from inferkit.gate.stats.analyses import SINGLE_ANALYSIS
from inferkit.gate.stats.effect import independent
from inferkit.gate.stats.judge import judge
from inferkit.gate.stats.sharing import share
from inferkit.gate.stats.variance import fit_prior


def variances(random: np.random.Generator, deviations: list[float], dof: int = 4) -> np.ndarray:
    return np.array(deviations) ** 2 * random.chisquare(dof, len(deviations)) / dof


def test_a_case_of_seven_percent_among_quiet_ones_is_set_apart() -> None:
    found = [share(variances(np.random.default_rng(seed), [0.003] * 11 + [0.07]), 4) for seed in range(50)]
    assert not any(sharing.apart[:11].any() for sharing in found)
    assert sum(bool(sharing.apart[11]) for sharing in found) >= 45  # where the others happen to spread, it may stay
    assert np.median([sharing.prior.variance**0.5 for sharing in found]) == pytest.approx(0.003, rel=0.2)


def test_a_case_set_apart_has_its_own_variance_and_no_more_degrees_of_freedom() -> None:
    own = variances(np.random.default_rng(1), [0.003] * 11 + [0.07])
    moderated, freedom = share(own, 4).posterior(own, 4)
    assert (moderated[-1], freedom[-1]) == (own[-1], 4)
    assert np.all(freedom[:-1] > 4)


def test_cases_that_are_alike_all_share() -> None:
    apart = [share(variances(np.random.default_rng(seed), [0.01] * 30), 4).apart.any() for seed in range(200)]
    assert np.mean(apart) <= 0.02  # nominal: 0.1 %


def test_where_half_of_the_suite_is_noisy_nobody_is_set_apart_beyond_a_third() -> None:
    own = variances(np.random.default_rng(3), [0.003] * 10 + [0.07] * 10)
    sharing = share(own, 4)
    assert sharing.apart.sum() <= 20 // 3
    assert not sharing.apart[:10].any()


def test_with_nothing_apart_the_prior_is_the_usual_one() -> None:
    own = np.array([0.8, 1.3, 0.9, 1.1, 2.0])
    sharing = share(own, 4)
    assert not sharing.apart.any()
    assert sharing.prior.variance == pytest.approx(fit_prior(own, 4).variance)


@settings(max_examples=60)
@example([(0.0, 4), (0.0, 4), (5e-324, 4), (1e-320, 4), (1.0, 4)])
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30)), max_size=40))
def test_any_suite_gives_finite_variances_none_below_the_quieter_of_prior_and_own(
    cases: list[tuple[float, int]],
) -> None:
    own = np.array([variance for variance, _ in cases])
    dof = np.array([freedom for _, freedom in cases], float)
    with np.errstate(divide="raise", invalid="raise"):
        sharing = share(own, dof)
        moderated, freedom = sharing.posterior(own, dof)
    assert np.all(np.isfinite(moderated))
    assert moderated[sharing.apart] == pytest.approx(own[sharing.apart])
    assert np.all(freedom >= 0)


def test_one_enqueue_bound_case_does_not_hide_a_slowdown_of_two_percent_in_the_quiet_ones() -> None:
    random = np.random.default_rng(7)
    noise = [0.003] * 8 + [0.07]
    found = 0
    for _ in range(100):
        evidence = [
            independent(random.normal(0, each, 3), random.normal(np.log(1.02) if case == 0 else 0, each, 3))
            for case, each in enumerate(noise)
        ]
        found += judge(evidence, [0.02] * 9, plan=SINGLE_ANALYSIS)[0].verdict is Verdict.REGRESSED
    assert found >= 90
