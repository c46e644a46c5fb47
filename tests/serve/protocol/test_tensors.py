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
        ("UINT64", [2], [True, False], "true or false"),
        ("FP32", [2], [1.5, True], "true or false"),
        ("INT8", [1, 2], [[1, False]], "true or false"),
        ("BOOL", [1], [1], "not of type BOOL"),
        ("UINT8", [1], [256], "outside of UINT8"),
        ("UINT8", [1], [-1], "outside of UINT8"),
        ("INT32", [1], [1.5], "not of type INT32"),
        ("INT64", [1], [1 << 70], "outside of INT64"),
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


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        ("UINT64", [0, 2**64 - 1, 2**63 + 1]),
        ("UINT64", [[2**53 + 1, 2**63], [1, 2]]),
        ("INT64", [-(2**63), 2**63 - 1, 2**53 + 1]),
        ("FP16", [2049, 65504, 2.0**-24]),  # 2049 is halfway between two halves and goes to the even one, 2048
        ("FP64", [2**64, 0.5]),
        ("FP32", [2**70, 1]),
    ],
)
def test_large_numbers_beside_small_ones_arrive_as_the_type_holds_them(kind, numbers):
    dtype = np.dtype(DATATYPES[kind])
    shape = list(np.shape(numbers))
    tensor = from_numbers("x", kind, shape, numbers)
    given = [number for row in numbers for number in (row if isinstance(row, list) else [row])]
    assert tensor.dtype == dtype
    if dtype.kind in "ui":
        assert tensor.ravel().tolist() == given
    else:
        assert tensor.tolist() == [float(dtype.type(float(number))) for number in given]


@pytest.mark.parametrize(
    ("kind", "numbers", "message"),
    [
        ("UINT64", [1, 2**64], "outside of UINT64"),
        ("UINT64", [2**63, -1], "outside of UINT64"),
        ("INT64", [-1, 2**63], "outside of INT64"),
        ("UINT8", [1, 2**63], "outside of UINT8"),
        ("UINT64", [2**63, 0.5], "not of type UINT64"),
        ("FP64", [10**400, 1], "not a tensor"),
    ],
)
def test_what_a_type_does_not_hold_is_refused_beside_what_it_does(kind, numbers, message):
    with pytest.raises(BadRequest, match=message):
        from_numbers("x", kind, [2], numbers)
