"""Moderated variances: held to limma's squeezeVar (Bioconductor limma 3.54.1, values recorded from R)."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import polygamma

from inferkit.gate.stats.variance import NO_PRIOR, fit_prior, trigamma_inverse

PUBLISHED = [json.loads(line) for line in Path(__file__).with_name("limma_squeezevar.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: case["name"])
def test_prior_and_posterior_are_those_of_limma(case):
    prior = fit_prior(case["var"], case["df"] if len(case["df"]) > 1 else case["df"][0])
    assert prior.variance == pytest.approx(case["var_prior"], rel=1e-8)
    assert prior.dof == pytest.approx(float(case["df_prior"]), rel=1e-6)
    own = np.asarray(case["var"])
    # limma lifts a zero variance before it moderates; we keep the zero and let the prior alone speak for it.
    posterior, _ = prior.posterior(own, case["df"] if len(case["df"]) > 1 else case["df"][0])
    positive = own > 0
    assert posterior[positive] == pytest.approx(np.asarray(case["var_post"])[positive], rel=1e-6)


@given(st.floats(1e-6, 1e6))
def test_trigamma_inverse_inverts(value):
    assert float(polygamma(1, trigamma_inverse(value))) == pytest.approx(value, rel=1e-6)


@given(st.lists(st.floats(1e-12, 1e3), min_size=2, max_size=30), st.integers(1, 20))
def test_a_moderated_variance_lies_between_its_own_and_the_prior(variances, dof):
    prior = fit_prior(variances, dof)
    posterior, freedom = prior.posterior(variances, dof)
    low = np.minimum(variances, prior.variance)
    high = np.maximum(variances, prior.variance)
    assert np.all(posterior >= low * (1 - 1e-9))
    assert np.all(posterior <= high * (1 + 1e-9))
    assert np.all(freedom <= dof * len(variances) + 1e-9)


def test_nothing_is_shared_where_there_is_nothing_to_share():
    assert fit_prior([1.0], 4) == NO_PRIOR
    assert fit_prior([1.0, np.nan, 2.0], [4, 4, 0]) == NO_PRIOR
    variance, dof = NO_PRIOR.posterior([0.5], 3)
    assert (variance[0], dof[0]) == (0.5, 3)


def test_a_case_with_one_replicate_borrows_the_others_variance():
    prior = fit_prior([1.0, 1.3, 0.8, 1.1], 4)
    variance, dof = prior.posterior([0.0], 0)
    assert variance[0] == pytest.approx(prior.variance)
    assert dof[0] > 0
