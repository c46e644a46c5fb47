"""Bounds of a paired drop: published intervals, a brute-force likelihood, and what any such bound must obey."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from inferkit.gate.stats.paired import paired_drop, score

TWO_SIDED_95 = 0.975  # two one-sided bounds at 97.5 % are the two-sided interval at 95 %


@pytest.mark.parametrize(
    "n10, n01, n, lower, upper",
    [
        # Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014): airway hyper-responsiveness (Bentur 2009).
        (1, 7, 21, -0.517, -0.026),
        # The same authors' book, chapter 8: complete response to therapy (Cavo 2012).
        (6, 16, 161, -0.1240, -0.0054),
    ],
)
def test_gives_the_published_intervals(n10, n01, n, lower, upper):
    result = paired_drop(n10, n01, n, TWO_SIDED_95)
    digits = 3 if n == 21 else 4
    assert round(result.lower, digits) == lower
    assert round(result.upper, digits) == upper


counts = st.integers(20, 20_000).flatmap(
    lambda n: st.tuples(st.integers(0, n // 10), st.integers(0, n // 10), st.just(n))
)


@given(counts, st.integers(-5_000, 5_000).map(lambda points: points / 10_000))
def test_the_score_uses_the_likelihoods_maximum(case, drop):
    n10, n01, n = case
    grid = np.linspace(max(0.0, -drop), (1 - drop) / 2, 20_003)[1:-1]
    likelihood = n10 * np.log(grid + drop) + n01 * np.log(grid) + (n - n10 - n01) * np.log1p(-2 * grid - drop)
    q = grid[np.argmax(likelihood)]
    by_hand = (n10 - n01 - n * drop) / math.sqrt(n * (2 * q + drop * (1 - drop)))
    # The grid's step (2.5e-5) moves the variance, and the score by at most that share of it.
    variance = 2 * q + drop * (1 - drop)
    assert score(n10, n01, n, drop) == pytest.approx(by_hand, rel=1e-4 + 1e-4 / variance, abs=1e-3)


@given(counts, st.sampled_from([0.9, 0.95, 0.99]))
def test_the_bounds_enclose_the_drop_and_widen_with_confidence(case, confidence):
    n10, n01, n = case
    result = paired_drop(n10, n01, n, confidence)
    wider = paired_drop(n10, n01, n, confidence + 0.005)
    assert -1 <= wider.lower <= result.lower <= result.drop <= result.upper <= wider.upper <= 1


@given(counts)
def test_exchanging_the_two_sides_mirrors_the_bounds(case):
    n10, n01, n = case
    here, there = paired_drop(n10, n01, n), paired_drop(n01, n10, n)
    assert (here.lower, here.upper) == pytest.approx((-there.upper, -there.lower), abs=1e-12)


@given(counts, st.integers(1, 5))
def test_more_lost_images_raise_the_upper_bound(case, more):
    n10, n01, n = case
    assert paired_drop(n10 + more, n01, n).upper > paired_drop(n10, n01, n).upper


def newcombe(both, n10, n01, neither):
    """Newcombe's method 10 (Statistics in Medicine 17 (1998) 2635): Wilson intervals squared and added, 95 %."""
    n = both + n10 + n01 + neither
    p1, p2 = (both + n10) / n, (both + n01) / n
    (low1, high1), (low2, high2) = wilson(p1, n), wilson(p2, n)
    product = (both + n10) * (n01 + neither) * (both + n01) * (n10 + neither)
    cross = both * neither - n10 * n01
    cross = max(cross - n / 2, 0) if cross > 0 else cross
    phi = cross / math.sqrt(product) if product else 0.0
    below = (p1 - low1) ** 2 - 2 * phi * (p1 - low1) * (high2 - p2) + (high2 - p2) ** 2
    above = (high1 - p1) ** 2 - 2 * phi * (high1 - p1) * (p2 - low2) + (p2 - low2) ** 2
    return p1 - p2 - math.sqrt(below), p1 - p2 + math.sqrt(above)


def wilson(p, n):
    z = norm.ppf(TWO_SIDED_95)
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def test_the_other_method_gives_its_published_intervals_too():
    assert newcombe(1, 1, 7, 12) == pytest.approx((-0.507, -0.026), abs=5e-4)
    assert newcombe(59, 6, 16, 80) == pytest.approx((-0.1186, -0.0046), abs=5e-5)


@pytest.mark.parametrize("n10, n01", [(0, 0), (40, 30), (150, 120), (300, 310)])
def test_agrees_with_newcombes_method_on_ten_thousand_images(n10, n01):
    ours = paired_drop(n10, n01, 10_000, TWO_SIDED_95)
    both = 9_000 - n10
    # Two different methods on a large sample: they agree to three hundredths of a point.
    assert (ours.lower, ours.upper) == pytest.approx(newcombe(both, n10, n01, 1_000 - n01), abs=3e-4)


def test_not_one_discordant_image_still_leaves_a_doubt():
    assert paired_drop(0, 0, 10_000).upper == pytest.approx(0.00027, abs=1e-5)


def test_one_sided_bound_covers_as_often_as_it_says():
    rng = np.random.default_rng(7)
    p10, p01, n = 0.02, 0.015, 2_000
    draws = rng.multinomial(n, [p10, p01, 1 - p10 - p01], size=4_000)
    covered = np.mean([paired_drop(int(a), int(b), n).upper >= p10 - p01 for a, b, _ in draws])
    # 95 % nominal; four thousand draws have a standard error of 0.35 points.
    assert 0.935 < covered < 0.965


@pytest.mark.parametrize("n10, n01, n", [(-1, 0, 10), (6, 5, 10), (0, 0, 0)])
def test_counts_that_cannot_be_are_refused(n10, n01, n):
    with pytest.raises(ValueError, match="impossible"):
        paired_drop(n10, n01, n)


def test_a_confidence_of_one_is_refused():
    with pytest.raises(ValueError, match="confidence"):
        paired_drop(1, 1, 10, 1.0)
