"""How far two computations of a layer are apart, summed over batches: the figures of all values at once."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inferkit.measure.accuracy.layer_error import LOWEST, LayerErrors, first_divergence, limit_of

finite = st.floats(-1e3, 1e3, width=32)
pairs = st.integers(1, 40).flatmap(
    lambda size: st.tuples(arrays(np.float32, size, elements=finite), arrays(np.float32, size, elements=finite))
)


def errors_of(*batches):
    errors = LayerErrors({"layer": "Conv"})
    for base, head in batches:
        errors.add({"layer": base}, {"layer": head})
    return errors.result()


@given(st.lists(pairs, min_size=1, max_size=4))
def test_batch_by_batch_is_the_same_as_all_at_once(batches):
    (error,) = errors_of(*batches)
    a, b = (np.concatenate([pair[side] for pair in batches]).astype(np.float64) for side in (0, 1))
    assert error.values == len(a)
    assert error.max_error == np.abs(a - b).max()
    noise = float(((a - b) ** 2).sum())
    if noise == 0:
        assert error.snr_db == math.inf
    elif (a**2).sum() > 0:
        assert error.snr_db == pytest.approx(10 * np.log10((a**2).sum() / noise), abs=1e-6)
    json.dumps(error.as_dict(), allow_nan=False)


@given(arrays(np.float32, 20, elements=finite), st.floats(0.01, 100))
def test_a_scaled_layer_keeps_its_direction_and_loses_its_ratio(values, factor):
    (error,) = errors_of((values, values * np.float32(factor)))
    if (np.abs(values) > 1e-3).any():
        assert error.cosine == pytest.approx(1, abs=1e-5)
        wanted = -20 * math.log10(abs(factor - 1)) if abs(factor - 1) > 1e-3 else None
        assert wanted is None or error.snr_db == pytest.approx(wanted, abs=0.1)


def test_a_nan_on_one_side_diverges_and_does_not_spoil_the_figures():
    base, head = np.array([1.0, 2, 3], np.float32), np.array([1.0, np.nan, 3], np.float32)
    (error,) = errors_of((base, head))
    assert (error.not_finite, error.max_error, error.snr_db) == (1, 0.0, math.inf)
    assert error.diverges(0)


def test_in_json_equal_is_not_the_same_as_totally_wrong():
    zeros, sevens = np.zeros(4, np.float32), np.full(4, 7, np.float32)
    (equal,), (wrong,) = errors_of((zeros, zeros)), errors_of((zeros, sevens))
    assert (equal.as_dict()["snr_db"], wrong.as_dict()["snr_db"]) == (None, LOWEST)
    assert wrong.diverges(limit_of(["int8"]))
    assert not equal.diverges(limit_of(["fp32"]))


def test_the_first_divergent_layer_is_the_first_in_the_networks_order():
    errors = LayerErrors({"a": "Conv", "b": "Conv", "c": "Conv"})
    exact = np.ones(8, np.float32)
    errors.add(dict.fromkeys("abc", exact), {"a": exact, "b": exact * 1.2, "c": exact * 2})
    layers = errors.result()
    assert first_divergence(layers, 40).name == "b"
    assert first_divergence(layers, 10).name == "c"
    assert first_divergence(layers, -1) is None


def test_layers_of_other_sizes_are_not_the_same_layer():
    errors = LayerErrors({"a": "Conv"})
    errors.add({"a": np.ones(3)}, {"a": np.ones(4)})
    assert errors.result() == ()


def test_the_coarser_precision_sets_the_limit():
    assert limit_of(["fp32", "int8"]) == limit_of(["int8"]) < limit_of(["fp16"]) < limit_of(["fp32"])
