"""IDX files are read strictly: any disagreement between header and content is an error."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferkit.data.fashion_mnist import read_idx
from inferkit.errors import DataError


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=4, max_side=6)))
def test_arrays_round_trip(array: np.ndarray) -> None:
    np.testing.assert_array_equal(read_idx(gzip.compress(idx(array), 1)), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x0d\x01" + bytes(8), "not an IDX file"),  # floats
        (b"\0\0\x08\x00", "not an IDX file"),
        (b"\1\0\x08\x01" + bytes(8), "not an IDX file"),
        (b"\0\0\x08\x03" + bytes(8), "truncated within its header"),
        (idx(np.zeros((2, 3), np.uint8))[:-1], "only 5"),
        (idx(np.zeros((2, 3), np.uint8)) + b"x", "more"),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "only 0"),
    ],
)
def test_what_is_wrong_is_named(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"images: .*{message}"):
        read_idx(gzip.compress(content), "images")


@given(st.integers(0, 300), st.binary(min_size=1, max_size=3))
@example(10, b"\t")  # a bit that fills up to a whole byte
def test_damaged_compression_is_never_another_array(position: int, change: bytes) -> None:
    array = np.arange(200, dtype=np.uint8).reshape(10, 20)
    content = bytearray(gzip.compress(idx(array), mtime=0))
    position %= len(content)
    content[position : position + len(change)] = change
    try:
        result = read_idx(bytes(content))
    except DataError:
        return
    np.testing.assert_array_equal(result, array)  # gzip's header and filling bits mean nothing


@given(st.binary(max_size=50))
def test_what_is_no_gzip_is_an_error(content: bytes) -> None:
    with pytest.raises(DataError):
        read_idx(content)


def test_no_more_is_unpacked_than_the_header_says() -> None:
    bomb = gzip.compress(idx(np.zeros(10, np.uint8)) + bytes(20_000_000), 1)
    with pytest.raises(DataError, match="holds more"):
        read_idx(bomb)
