"""Datums are parsed as the official parser does, without copies, and no bytes do more than a DataError."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferkit.data.lmdb.datum import Datum, find_label, parse_datum, pixels, serialize_datum, serialize_encoded_datum
from inferkit.errors import DataError
from inferkit.network.caffe.files import schema
from inferkit.wire import varint

INT32 = st.integers(-(2**31), 2**31 - 1)
MESSAGES = st.builds(
    schema.Datum,
    channels=st.none() | INT32,
    height=st.none() | INT32,
    width=st.none() | INT32,
    data=st.none() | st.binary(max_size=300),
    label=st.none() | INT32,
    float_data=st.lists(st.floats(width=32), max_size=40),
    encoded=st.none() | st.booleans(),
)


def agree(ours: Datum, by_protobuf: schema.Datum) -> bool:
    floats = np.asarray(by_protobuf.float_data, np.float32)
    result = ours.float_data if ours.float_data is not None else np.empty(0, np.float32)
    with np.errstate(invalid="ignore"):
        result = result.astype(np.float64).astype(np.float32)  # as protobuf's were: a signalling NaN becomes quiet
    return (
        (ours.channels, ours.height, ours.width, ours.label, ours.encoded, bytes(ours.data))
        == (
            by_protobuf.channels,
            by_protobuf.height,
            by_protobuf.width,
            by_protobuf.label,
            by_protobuf.encoded,
            by_protobuf.data,
        )
    ) and result.tobytes() == floats.tobytes()


def field(key: int, kind: int, payload: bytes) -> bytes:
    return varint(key << 3 | kind) + payload


# Fields of any number and type in any order, keys and numbers spelled with more bytes than they need included.
VARINTS = st.one_of(
    st.integers(0, 2**64 - 1).map(varint),
    st.integers(0, 127).map(lambda number: bytes([number | 0x80, 0x00])),
    st.integers(0, 127).map(lambda number: bytes([number | 0x80, 0x80, 0x80, 0x00])),
)
NUMBERS = st.integers(1, 9) | st.integers(10, 2**29 - 1)
FIELDS = st.one_of(
    st.builds(lambda number, value: field(number, 0, value), NUMBERS, VARINTS),
    st.builds(lambda number, value: field(number, 2, varint(len(value)) + value), NUMBERS, st.binary(max_size=24)),
    st.builds(lambda number, value: field(number, 5, value), NUMBERS, st.binary(min_size=4, max_size=4)),
    st.builds(lambda number, value: field(number, 1, value), NUMBERS, st.binary(min_size=8, max_size=8)),
    st.builds(
        lambda values: b"".join(b"\x35" + value for value in values), st.lists(st.binary(min_size=4, max_size=4))
    ),
    st.builds(lambda value: b"\xb5\x00" + value, st.binary(min_size=4, max_size=4)),
    st.builds(lambda number, inside: field(number, 3, inside) + field(number, 4, b""), NUMBERS, st.just(b"\x08\x01")),
)
STREAMS = st.one_of(
    st.lists(FIELDS, max_size=12).map(b"".join),
    st.tuples(st.lists(FIELDS, max_size=6).map(b"".join), st.binary(max_size=12)).map(b"".join),
    st.binary(max_size=64),
)


@given(MESSAGES)
def test_what_the_official_library_writes_is_read_the_same(message: schema.Datum) -> None:
    assert agree(parse_datum(message.SerializeToString()), message)


@given(STREAMS)
@example(b"\xb5\x00\x00\x00\x80\x3f\x35\x00\x00\x80\x3f")  # a key spelled long, then a run of one
@example(b"\x35\x00\x00\x80")
@example(b"\x35\x00\x00\x81\x7f")  # a signalling NaN
@example(b"\x0a\x01\x00")  # channels as bytes: an unknown field
@example(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")  # -1
@example(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02")  # a bit beyond the 64th
@example(b"\x80\x80\x80\x80\x08\x00")  # a key spelled in five bytes, of a number over 2**29
@example(b"\x08\x80")
@example(b"\x03" * 120)
@example(b"\x0b" * 99 + b"\x0c" * 99)
@example(b"\x0b" * 100 + b"\x0c" * 100)
@example(b"\x0b" * 101 + b"\x0c" * 101)
@example(b"\x22\x82\x00ab")  # a length spelled in two bytes, in five
@example(b"\x22\x82\x80\x80\x80\x00ab")
@example(b"\x22\x82\x80\x80\x80\x10ab")  # a length over 32 bits
@example(b"\x88\x80\x80\x80\x00\x01")  # a key in five bytes, in six
@example(b"\x88\x80\x80\x80\x80\x00\x01")
@example(b"\x32\x03abc")  # packed floats that are no whole number of them
def test_any_bytes_are_read_as_the_official_parser_reads_them_or_refused_as_it_refuses_them(content: bytes) -> None:
    try:
        by_protobuf = schema.Datum.FromString(content)
    except DecodeError:
        with pytest.raises(DataError):
            parse_datum(content)
    else:
        assert agree(parse_datum(content), by_protobuf)


@pytest.mark.parametrize("more", [1, 5])
def test_a_length_of_more_than_five_bytes_is_refused(more: int) -> None:
    # The official parsers do so since protobuf 5; before, some took it.
    with pytest.raises(DataError, match="more than five bytes"):
        parse_datum(b"\x22\x82\x80\x80\x80" + b"\x80" * more + b"\x00ab")


@given(STREAMS, st.data())
def test_the_label_found_without_the_pixels_is_the_label(content: bytes, data: st.DataObject) -> None:
    def read(start: int, stop: int) -> bytes:
        assert 0 <= start <= stop <= len(content)
        return content[start:stop]

    try:
        label = parse_datum(content).label
    except DataError:
        return  # pixels are passed over unread, so that not all damage can be seen
    assert find_label(read, len(content)) == label


@given(st.binary(max_size=64))
def test_looking_for_a_label_in_any_bytes_ends_in_a_number_or_a_data_error(content: bytes) -> None:
    with suppress(DataError):
        assert isinstance(find_label(lambda start, stop: content[start:stop], len(content)), int)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=9)), INT32)
def test_raw_pixels_round_trip_as_views_and_as_caffe_writes_them(image: np.ndarray, label: int) -> None:
    content = serialize_datum(image, label)
    datum = parse_datum(content)
    assert datum.label == label
    assert not datum.encoded
    np.testing.assert_array_equal(pixels(datum), image)
    assert not pixels(datum).flags.owndata
    channels, height, width = image.shape
    message = schema.Datum(
        channels=channels, height=height, width=width, data=image.tobytes(), label=label, encoded=False
    )
    assert content == message.SerializeToString()


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=9)), INT32)
def test_floats_round_trip_and_as_caffe_writes_them(image: np.ndarray, label: int) -> None:
    content = serialize_datum(image, label)
    datum = parse_datum(content)
    assert pixels(datum).tobytes() == image.tobytes()
    channels, height, width = image.shape
    message = schema.Datum(channels=channels, height=height, width=width, label=label, float_data=image.ravel())
    message.encoded = False
    assert content == message.SerializeToString()


def test_packed_floats_are_read_too() -> None:
    numbers = np.arange(6, dtype="<f4")
    content = b"\x08\x01\x10\x02\x18\x03" + b"\x32" + varint(24) + numbers.tobytes()
    np.testing.assert_array_equal(pixels(parse_datum(content)), numbers.reshape(1, 2, 3))


def test_many_single_floats_with_something_between_them_take_time_in_proportion() -> None:
    # Looked for from each of them to the end, the runs would cost 20,000 × 20,000 / 2 steps.
    content = b"\x35\x00\x00\x80\x3f\x38\x00" * 20_000
    datum = parse_datum(content)
    assert datum.float_data is not None
    assert datum.float_data.tolist() == [1.0] * 20_000


@pytest.mark.parametrize(
    "content", [b"\x38\x00" * 100_001, b"\x78\x00" * 100_001, b"\x0b" + b"\x38\x00" * 100_001 + b"\x0c"]
)
def test_fields_beyond_number_are_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="over 100000 fields"):
        parse_datum(content)
    with pytest.raises(DataError, match="over 100000 fields"):
        find_label(lambda start, stop: content[start:stop], len(content))


def test_an_encoded_file_round_trips() -> None:
    datum = parse_datum(serialize_encoded_datum(b"a file", -3))
    assert (bytes(datum.data), datum.label, datum.encoded, datum.channels) == (b"a file", -3, True, 0)


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [
        ((3, 2, 2), 11, "12 bytes, but holds 11"),
        ((3, 2, 2), 13, "12 bytes, but holds 13"),
        ((-3, -2, 2), 12, "-3 × -2 × 2"),
        ((0, 2, 2), 12, "0 × 2 × 2"),
        ((3, 2**31 - 1, 2**31 - 1), 12, "but holds 12"),
        ((1, 2, 2), 0, "but holds no data"),
    ],
)
def test_sizes_that_disagree_are_named(shape: tuple[int, int, int], size: int, message: str) -> None:
    datum = schema.Datum(channels=shape[0], height=shape[1], width=shape[2], data=bytes(size))
    with pytest.raises(DataError, match=message):
        pixels(parse_datum(datum.SerializeToString()))


def test_floats_that_are_too_few_are_named() -> None:
    message = schema.Datum(channels=1, height=2, width=2, float_data=[1, 2, 3])
    with pytest.raises(DataError, match="4 numbers, but holds 3"):
        pixels(parse_datum(message.SerializeToString()))
