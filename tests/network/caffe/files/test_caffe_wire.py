"""Numbers are extracted from a binary model unchanged, whatever their encoding; damage is an error, never a crash."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inferkit.errors import DataError
from inferkit.network.caffe.files.schema import BlobProto, NetParameter, stored_values
from inferkit.network.caffe.files.wire import blob_values, fields, put_values, take_values
from inferkit.wire import varint
from tests.network.caffe.files.caffe_messages import nets

FLOATS = st.lists(st.floats(width=32, allow_nan=False), max_size=40)


def _net(*blobs: bytes) -> bytes:
    """A serialized net with one layer that has these serialized blobs."""
    layer = b"".join(b"\x3a" + varint(len(blob)) + blob for blob in blobs)
    return b"\xa2\x06" + varint(len(layer)) + layer


def _only(model: bytes) -> NDArray[np.float32]:
    small, values = take_values(model)
    blob = NetParameter.FromString(small).layer[0].blobs[0]
    return blob_values(blob, values)


def _packed(key: int, numbers: list[float], kind: str) -> bytes:
    content = struct.pack(f"<{len(numbers)}{kind}", *numbers)
    return bytes([key << 3 | 2]) + varint(len(content)) + content


def _unpacked(key: int, numbers: list[float], kind: str) -> bytes:
    wire = 5 if kind == "f" else 1
    return b"".join(bytes([key << 3 | wire]) + struct.pack(f"<{kind}", number) for number in numbers)


@given(st.sampled_from(["v0", "v1", "v2"]).flatmap(nets))
@settings(max_examples=100, deadline=None)
def test_extracted_values_and_remaining_fields_make_the_whole_model(net: NetParameter) -> None:
    small, values = take_values(net.SerializeToString())
    remaining = NetParameter.FromString(small)
    actual = [blob_values(blob, values) for blob in _blobs(remaining)]
    wanted = [np.array(list(blob.double_data or blob.data), np.float64) for blob in _blobs(net)]
    for ours, by_caffe in zip(actual, wanted, strict=True):
        np.testing.assert_array_equal(ours, by_caffe.astype(np.float32))
    for message in (remaining, net):
        for blob in _blobs(message):
            blob.ClearExtension(stored_values)
            for name in ("data", "diff", "double_data", "double_diff"):
                blob.ClearField(name)
    assert remaining == net


@given(FLOATS, FLOATS, FLOATS)
def test_packed_and_single_numbers_may_be_mixed(first: list[float], second: list[float], third: list[float]) -> None:
    blob = _packed(5, first, "f") + _unpacked(5, second, "f") + _packed(5, third, "f")
    np.testing.assert_array_equal(_only(_net(blob)), np.array(first + second + third, np.float32))
    assert list(BlobProto.FromString(blob).data) == [*first, *second, *third]


@given(FLOATS, FLOATS)
def test_single_numbers_of_two_fields_may_alternate(data: list[float], diff: list[float]) -> None:
    pairs = zip(data, diff, strict=False)
    blob = b"".join(_unpacked(5, [value], "f") + _unpacked(6, [gradient], "f") for value, gradient in pairs)
    np.testing.assert_array_equal(_only(_net(blob)), np.array(data[: min(len(data), len(diff))], np.float32))


@given(FLOATS, FLOATS.filter(bool))
def test_double_data_counts_where_there_is_any(single: list[float], double: list[float]) -> None:
    for encode in (_packed, _unpacked):
        blob = _packed(5, single, "f") + encode(8, double, "d")
        np.testing.assert_array_equal(_only(_net(blob)), np.array(double, np.float32))


def test_a_double_beyond_the_range_of_float_becomes_infinite() -> None:
    assert _only(_net(_packed(8, [1e300, -1e300], "d"))).tolist() == [np.inf, -np.inf]


def test_many_single_numbers_are_read_in_one_piece() -> None:
    count = 300_000
    records = np.zeros(count, dtype=[("key", "u1"), ("number", "<f4")])
    records["key"], records["number"] = 5 << 3 | 5, np.arange(count)
    np.testing.assert_array_equal(_only(_net(records.tobytes())), np.arange(count, dtype=np.float32))


def test_packed_numbers_are_views_into_the_file() -> None:
    model = _net(_packed(5, [1.0, 2.0, 3.0], "f"))
    (values,) = take_values(model)[1]
    assert np.shares_memory(values, np.frombuffer(model, np.uint8))


@given(FLOATS)
def test_numbers_put_into_a_blob_are_its_data(numbers: list[float]) -> None:
    blob = BlobProto(channels=3)
    put_values(blob, np.array(numbers, np.float32))
    assert list(blob.data) == numbers
    assert blob.channels == 3
    assert blob_values(blob).tolist() == numbers


def test_a_blob_whose_numbers_are_elsewhere_is_no_trap() -> None:
    blob = BlobProto(data=[1, 2])
    blob.Extensions[stored_values] = 7
    assert blob_values(blob, []).tolist() == [1, 2]


def test_a_file_cannot_point_into_our_list_of_numbers() -> None:
    forged = varint(stored_values.number << 3) + varint(1)
    assert _only(_net(_packed(5, [1.0], "f"), b"")).tolist() == [1.0]
    small, values = take_values(_net(_packed(5, [1.0], "f"), forged))
    second = NetParameter.FromString(small).layer[0].blobs[1]
    assert blob_values(second, values).size == 0


@given(st.sampled_from(["v0", "v1", "v2"]).flatmap(nets), st.data())
@settings(max_examples=100, deadline=None)
def test_a_model_cut_anywhere_is_an_error_or_a_shorter_model(net: NetParameter, data: st.DataObject) -> None:
    model = net.SerializeToString()
    cut = data.draw(st.integers(0, len(model)))
    try:
        small, _ = take_values(model[:cut])
    except DataError:
        return
    # No error only where the cut falls between two fields of the outermost message.
    assert cut in {0, *(field.end for field in fields(model, 0, len(model)))}
    NetParameter.FromString(small)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_numbers_or_an_error(content: bytes) -> None:
    with contextlib.suppress(DataError):
        small, values = take_values(content)
        assert len(small) <= len(content) + 4 * len(values)


@pytest.mark.parametrize("size", [2**31, 2**40, 2**63])
def test_a_size_beyond_the_end_is_not_believed(size: int) -> None:
    with pytest.raises(DataError, match="are left"):
        take_values(b"\xa2\x06" + varint(size) + b"abc")


@given(st.integers(0, 2**63))
def test_varints_have_seven_bits_a_byte(number: int) -> None:
    encoded = varint(number)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(encoded)) == number
    assert [byte >= 0x80 for byte in encoded] == [True] * (len(encoded) - 1) + [False]


def _blobs(net: NetParameter) -> list[BlobProto]:
    return [
        *(blob for layer in net.layer for blob in layer.blobs),
        *(blob for layer in net.layers for blob in (*layer.blobs, *layer.layer.blobs)),
    ]
