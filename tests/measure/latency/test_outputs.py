"""What is kept of an engine's outputs: a hash of everything, and few values, which survive JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inferkit.measure.latency.outputs import MOST_VALUES, KeptOutput, KeptOutputs

DATA = np.ones((2, 3), np.float32)
FEEDS = {"data": DATA}


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float16, np.int64, np.uint8, np.bool_]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=40),
    )
)
def test_what_is_kept_survives_json(array: np.ndarray) -> None:
    kept = KeptOutputs.of({"out": array}, FEEDS, "fp16")
    again = KeptOutputs.from_dict(json.loads(json.dumps(kept.as_dict())))
    assert (again.inputs, again.precision) == (kept.inputs, "fp16")
    (first,), (second,) = kept.outputs.values(), again.outputs.values()
    assert (first.shape, first.type, first.sha256) == (second.shape, second.type, second.sha256)
    assert first.sample.tobytes() == second.sample.tobytes()
    assert first.shape == array.shape
    assert len(first.sample) == min(array.size, MOST_VALUES)


def test_a_small_output_is_kept_whole_and_a_large_one_from_end_to_end() -> None:
    small = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert KeptOutput.of(small).sample.tolist() == list(range(12))
    large = KeptOutput.of(np.arange(1_000_000, dtype=np.float32))
    assert len(large.sample) == MOST_VALUES
    assert (large.sample[0], large.sample[-1]) == (0, 999_999)
    assert (np.diff(large.sample) > 0).all()


def test_one_bit_of_one_value_changes_the_hash() -> None:
    array = np.zeros(100_000, np.float32)
    other = array.copy()
    other[77_777] = np.nextafter(np.float32(0), np.float32(1))
    assert KeptOutput.of(array).sha256 != KeptOutput.of(other).sha256


def test_an_array_in_another_order_of_memory_is_the_same() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert KeptOutput.of(array).sha256 == KeptOutput.of(np.asfortranarray(array)).sha256


def test_other_inputs_have_another_hash() -> None:
    outputs = {"out": np.ones(3, np.float32)}
    others = FEEDS, {"image": DATA}, {"data": DATA.reshape(3, 2)}, {"data": DATA * 2}
    digests = {KeptOutputs.of(outputs, feeds, "fp32").inputs for feeds in others}
    assert len(digests) == 4


@pytest.mark.parametrize(
    "key, value",
    [("sample", "AAAA"), ("sample", "not base64!"), ("shape", [7]), ("shape", ["3"]), ("sha256", "9f86"), ("type", 3)],
)
def test_what_was_edited_is_refused(key: str, value: object) -> None:
    values = KeptOutputs.of({"out": np.ones(3, np.float32)}, FEEDS, "fp32").as_dict()
    values["outputs"]["out"][key] = value
    with pytest.raises(ValueError, match="kept output"):
        KeptOutputs.from_dict(values)


@pytest.mark.parametrize("values", [None, [], {}, {"inputs": "", "precision": "", "outputs": []}])
def test_what_are_no_outputs_at_all_are_refused(values: object) -> None:
    with pytest.raises(ValueError, match="kept outputs"):
        KeptOutputs.from_dict(values)
