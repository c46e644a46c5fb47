"""Entropy calibration: the array expression finds what the method's definition, written as loops, finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inferkit.precision.calibration.entropy import LEVELS, divergences, entropy_amax, without_spikes
from inferkit.precision.calibration.ranges import Histogram


def divergence_by_definition(counts: NDArray[np.float64], size: int) -> float:
    """KL(P || Q) of one threshold, step by step as the method describes it."""
    reference = [float(count) for count in counts[:size]]
    in_level, filled = [0.0] * LEVELS, [0] * LEVELS
    for k in range(size):
        in_level[k * LEVELS // size] += reference[k]
    reference[-1] += float(sum(counts[size:]))
    for k in range(size):
        filled[k * LEVELS // size] += reference[k] > 0
    expanded = [0.0] * size
    for k in range(size):
        level = k * LEVELS // size
        if reference[k] > 0:
            expanded[k] = in_level[level] / filled[level]
    p_sum, q_sum = sum(reference), sum(expanded)
    divergence = 0.0
    for p, q in zip(reference, expanded, strict=True):
        if p > 0:
            if q == 0:
                return math.inf
            divergence += p / p_sum * math.log((p / p_sum) / (q / q_sum))
    return divergence


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(LEVELS, 400), st.floats(0.02, 1.0))
def test_every_threshold_has_the_divergence_of_the_definition(seed: int, size: int, density: float) -> None:
    random = np.random.default_rng(seed)
    counts = random.integers(1, 1000, size) * (random.random(size) < density) * 1.0
    counts[random.integers(size)] += 1.0  # not all empty
    expected = [divergence_by_definition(counts, candidate) for candidate in range(LEVELS, size + 1)]
    # sums of n log n over at most 400 bins, in double precision
    np.testing.assert_allclose(divergences(counts), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["relu", "long tail", "uniform", "two values", "few values"])
def test_the_optimum_is_that_of_the_definition(kind: str) -> None:
    random = np.random.default_rng(3)
    values = {
        "relu": np.maximum(random.standard_normal(20_000), 0),
        "long tail": np.append(random.standard_normal(20_000), [12.0, 11.0]),
        "uniform": random.random(20_000),
        "two values": np.array([1.0, 7.0]),
        "few values": random.standard_normal(50),
    }[kind].astype(np.float32)
    histogram = Histogram.of(values)
    counts = histogram.counts[: histogram.used].astype(np.float64)
    counts[0] = 0
    candidates = range(LEVELS, counts.size + 1, 1 if kind == "long tail" else 17)
    exact = {size: divergence_by_definition(counts, size) for size in candidates}
    actual = divergences(counts)
    best = min(exact.values())
    assert actual.min() <= best + 1e-9
    amax = entropy_amax(histogram)
    if kind == "long tail":  # every candidate was tried: the optimum itself, ties to the wider range
        last = max(size for size, divergence in exact.items() if divergence <= best + 1e-12)
        assert amax == pytest.approx(min((last + 0.5) * histogram.width, histogram.maximum), abs=0)
        assert amax < 6.0  # two outliers of 20,000 do not stretch the range to 12


def test_a_tail_is_clipped_and_a_uniform_distribution_is_not() -> None:
    random = np.random.default_rng(0)
    uniform = Histogram.of(random.random(100_000).astype(np.float32))
    assert entropy_amax(uniform) > 0.95 * uniform.maximum


def test_zeros_do_not_move_the_threshold() -> None:
    values = np.abs(np.random.default_rng(0).standard_normal(10_000)).astype(np.float32)
    with_zeros = np.append(values, np.zeros(50_000, dtype=np.float32))
    assert entropy_amax(Histogram.of(values)) == entropy_amax(Histogram.of(with_zeros))


def test_one_value_is_its_own_range() -> None:
    assert entropy_amax(Histogram.of(np.full(5, 3.7, dtype=np.float32))) == float(np.float32(3.7))
    assert entropy_amax(Histogram.of(np.zeros(5, dtype=np.float32))) == 0.0


def test_a_smooth_histogram_and_a_sparse_one_have_no_spikes() -> None:
    random = np.random.default_rng(0)
    tail = Histogram.of(np.append(random.standard_normal(200_000), 60.0).astype(np.float32)).counts.astype(np.float64)
    sparse = Histogram.of(random.standard_normal(300).astype(np.float32)).counts.astype(np.float64)
    levels = np.zeros(2048)
    levels[::8] = random.integers(1, 100_000, 256)  # pixels of 8 bits
    for counts in (tail, sparse, levels):
        np.testing.assert_array_equal(without_spikes(counts), counts)


def test_the_one_value_of_a_background_does_not_narrow_the_range() -> None:
    """Half of each image is background: after a convolution's bias and ReLU every channel has one value for it."""
    random = np.random.default_rng(0)
    values = np.abs(random.standard_normal((16, 20_000))).astype(np.float32)
    clean = entropy_amax(Histogram.of(values))
    values[:, :10_000] = np.abs(random.standard_normal((16, 1))) / 4
    assert entropy_amax(Histogram.of(values)) == pytest.approx(clean, rel=0.15)


def test_values_too_few_for_a_distribution_keep_their_range() -> None:
    """A handful of logits of a few images: where no bin holds two values, clipping them would be an accident."""
    for seed in range(20):
        values = np.random.default_rng(seed).standard_normal(32).astype(np.float32)
        assert entropy_amax(Histogram.of(values)) == float(np.abs(values).max())
    some = np.random.default_rng(0).standard_normal(2_000).astype(np.float32)
    assert entropy_amax(Histogram.of(some)) > 2.5  # 1.2 % of a normal distribution lies beyond
