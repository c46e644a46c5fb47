"""Tensors of the protocol survive the way there and back, and what is none is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.errors import UsageError
from inferkit.serve.batching.errors import BadRequest
from inferkit.serve.protocol.tensors import DATATYPES, datatype, from_bytes, from_numbers


@given(st.sampled_from(sorted(DATATYPES)), st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(0, 99))
def test_bytes_and_numbers_give_the_same_tensor(kind, shape, seed):
    values = np.random.default_rng(seed).integers(0, 2, shape).astype(DATATYPES[kind])
    for tensor in (
        from_bytes("x", kind, shape, values.tobytes()),
        from_numbers("x", kind, shape, values.tolist()),
        from_numbers("x", kind, shape, values.ravel().tolist()),
    ):
        assert tensor.dtype == values.dtype
        np.testing.assert_array_equal(tensor, values)
    assert datatype(DATATYPES[kind]) == kind


@pytest.mark.parametrize(
    ("kind", "shape", "numbers", "message"),
    [
        ("FP32", [2], [1.0], "1 numbers"),
        ("FP32", [2], [[1.0], [2.0, 3.0]], "not a tensor"),
        ("FP32", [1], ["a"], "not of type FP32"),
        ("FP32", [1], [None], "not of type FP32"),
        ("UINT8", [1], [256], "outside of UINT8"),
        ("UINT8", [1], [-1], "outside of UINT8"),
        ("INT32", [1], [1.5], "not of type INT32"),
        ("INT64", [1], [1 << 70], "not of type INT64|no tensor"),
        ("BYTES", [1], [1], "'BYTES'"),
        ("FP32", [1], [1e39], "outside of FP32"),
        ("FP16", [2], [1, 70_000], "outside of FP16"),
        ("FP32", [-1], [1.0], "invalid shape"),
        ("FP32", [], [1.0], "invalid shape"),
        ("FP32", [True], [1.0], "invalid shape"),
        ("FP32", ["1"], [1.0], "invalid shape"),
        ("FP32", [1 << 50], [1.0], "invalid shape"),
    ],
)
def test_what_is_no_tensor_is_refused(kind, shape, numbers, message):
    with pytest.raises(BadRequest, match=message):
        from_numbers("x", kind, shape, numbers)


def test_infinity_is_a_number_like_others():
    assert from_numbers("x", "FP32", [2], [float("inf"), -1.0]).tolist() == [float("inf"), -1.0]


def test_bytes_must_fill_the_shape():
    with pytest.raises(BadRequest, match=r"7 bytes; FP32 \[2\] takes 8"):
        from_bytes("x", "FP32", [2], bytes(7))


def test_a_type_without_a_name_cannot_be_served():
    with pytest.raises(UsageError, match="bfloat16"):
        datatype("bfloat16")
