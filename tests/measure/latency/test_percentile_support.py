"""Which percentile a number of samples supports, against MLPerf's published counts and scipy's binomial."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from inferkit.measure.latency import statistics

# Smallest n with BinomCDF(t; n, 1 - p) <= 0.01, as MLPerf's rules and loadgen have it (t = 0, 1, 2, 5, 10).
PUBLISHED = {
    50: (7, 11, 14, 22, 35),
    90: (44, 64, 81, 127, 197),
    95: (90, 130, 165, 259, 398),
    99: (459, 662, 838, 1307, 2010),
    99.9: (4603, 6636, 8403, 13105, 20140),
}


@pytest.mark.parametrize(
    "percentile, above, needed",
    [(p, t, n) for p, row in PUBLISHED.items() for t, n in zip((0, 1, 2, 5, 10), row, strict=True)],
)
def test_needs_as_many_samples_as_mlperf_publishes(percentile, above, needed):
    assert statistics.samples_needed(percentile, above) == needed


@given(st.floats(1, 99.9), st.integers(0, 30))
def test_the_count_is_the_smallest_that_holds(percentile, above):
    n = statistics.samples_needed(percentile, above)
    beyond = 1 - percentile / 100
    assert binom.cdf(above, n, beyond) <= 0.01 * (1 + 1e-9)
    assert n == above + 1 or binom.cdf(above, n - 1, beyond) > 0.01 * (1 - 1e-9)


@pytest.mark.parametrize("wrong", [0, 100, -1, 101])
def test_a_percentile_outside_0_to_100_is_refused(wrong):
    with pytest.raises(ValueError, match="no such percentile"):
        statistics.samples_needed(wrong)


def test_p99_appears_with_the_662nd_sample():
    samples = np.arange(1, 663) / 1000
    assert statistics.percentile(samples[:-1], 99) is None
    assert statistics.percentile(samples, 99) == pytest.approx(0.656)


def test_percentiles_that_lack_samples_are_none_and_not_guessed():
    assert statistics.percentiles([0.001] * 100) == {"p50": 0.001, "p90": 0.001, "p95": None, "p99": None}


@given(st.lists(st.floats(1e-6, 10), min_size=1, max_size=50), st.floats(1, 99))
def test_a_percentile_is_an_observed_value_that_splits_the_samples(times, which):
    samples = times * (662 // len(times) + 1)
    value = statistics.percentile(samples, which)
    assert value in samples
    at_or_below = sum(sample <= value for sample in samples) / len(samples)
    below = sum(sample < value for sample in samples) / len(samples)
    assert below <= which / 100 <= at_or_below + 1e-12


@given(st.lists(st.floats(1e-6, 10), min_size=1, max_size=50), st.floats(1.01, 3))
def test_scaling_all_times_shifts_the_log_median_by_the_logarithm(samples, factor):
    shift = statistics.log_median([s * factor for s in samples]) - statistics.log_median(samples)
    assert shift == pytest.approx(math.log(factor), abs=1e-9)


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=60))
def test_the_log_median_is_numpy_s_to_the_last_bit(times):
    assert statistics.log_median(times) == float(np.log(np.median(times)))


@pytest.mark.parametrize("bad", [[], [0.0], [-1.0, 2.0], [float("nan")], [float("inf")]])
def test_times_that_cannot_be_are_refused(bad):
    with pytest.raises(ValueError, match="positive"):
        statistics.log_median(bad)


def test_centre_and_spread_of_replicates():
    replicates = [math.log(t) for t in (0.0100, 0.0102, 0.0098)]
    assert statistics.centre(replicates) == pytest.approx((0.0100 * 0.0102 * 0.0098) ** (1 / 3), rel=1e-12)
    assert statistics.spread(replicates) == pytest.approx(0.0202, abs=1e-3)
    assert statistics.spread(replicates[:1]) is None


def test_images_per_second():
    assert statistics.images_per_second(0.5, 8) == 16
