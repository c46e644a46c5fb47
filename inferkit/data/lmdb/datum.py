"""Caffe's Datum, one image of a database: parsed by hand for speed, as untrusted input.

message Datum { int32 channels = 1, height = 2, width = 3; bytes data = 4; int32 label = 5; repeated float
float_data = 6; bool encoded = 7; }. `data` holds uint8 pixels (channel, row, column; colour as blue, green, red), or
an image file where `encoded` is set; `float_data` holds numbers where `data` is empty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inferkit import wire
from inferkit.errors import DataError
from inferkit.wire import (
    MOST_FIELDS,
    as_int32,
    read_key,
    read_length,
    read_numbers,
    read_varint,
    skip,
    too_many_fields,
    varint,
)

# Keys: field number << 3 | wire type.
_CHANNELS, _HEIGHT, _WIDTH, _DATA, _LABEL, _FLOATS_PACKED, _FLOAT, _ENCODED = 8, 16, 24, 34, 40, 50, 53, 56
_WINDOW = 32  # bytes: any key with a varint fits


class Datum(NamedTuple):
    """A parsed Datum. `data` is a view into the parsed buffer; `float_data` is None where there are no floats."""

    channels: int
    height: int
    width: int
    data: memoryview
    label: int
    float_data: NDArray[np.float32] | None
    encoded: bool


def parse_datum(buffer: bytes | memoryview) -> Datum:
    """Parse a serialized Datum; nothing is copied. DataError names the byte where it is malformed.

    As the official parsers: the last of several values wins, unknown fields are skipped, floats may be packed.
    Only a Datum of more than MOST_FIELDS fields is refused here; a run of floats that are not packed counts as one.
    """
    view = memoryview(buffer)
    channels = height = width = label = position = 0
    encoded = False
    data = view[:0]
    floats: list[NDArray[np.float32]] = []
    end = len(view)
    count = 0
    while position < end:
        count += 1
        if count > MOST_FIELDS:
            raise too_many_fields()
        key = view[position]
        if 8 <= key < 0x80:
            position += 1
        else:
            key, position = read_key(view, position, end)
        if key == _DATA:
            start, position = read_length(view, position, end)
            data = view[start:position]
        elif key in (_CHANNELS, _HEIGHT, _WIDTH, _LABEL, _ENCODED):
            number, position = read_varint(view, position, end)
            if key == _CHANNELS:
                channels = as_int32(number)
            elif key == _HEIGHT:
                height = as_int32(number)
            elif key == _WIDTH:
                width = as_int32(number)
            elif key == _LABEL:
                label = as_int32(number)
            else:
                encoded = number != 0
        elif key == _FLOATS_PACKED:
            start, position = read_length(view, position, end)
            if (position - start) % 4:
                raise DataError(f"the Datum has {position - start} bytes of packed float_data, not a multiple of 4")
            floats.append(np.frombuffer(view[start:position], dtype="<f4"))
        elif key == _FLOAT:
            run, position = read_numbers(view, key, position, end, "<f4")
            floats.append(run)
        else:
            position = skip(view, key, position, end)
    joined = None if not floats else floats[0] if len(floats) == 1 else np.concatenate(floats)
    return Datum(channels, height, width, data, label, joined, encoded)


def pixels(datum: Datum) -> NDArray[Any]:
    """The image of a Datum that is not encoded: a view, uint8 or float32 [C, H, W]. DataError where sizes disagree."""
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) <= 0:
        raise DataError(f"the Datum declares {_spelled(shape)} pixels")
    size = datum.channels * datum.height * datum.width
    if len(datum.data):
        if len(datum.data) != size:
            raise DataError(f"the Datum declares {_spelled(shape)} pixels, {size} bytes, but holds {len(datum.data)}")
        return np.frombuffer(datum.data, np.uint8).reshape(shape)
    count = 0 if datum.float_data is None else len(datum.float_data)
    if datum.float_data is None or count != size:
        raise DataError(f"the Datum declares {_spelled(shape)} pixels, {size} numbers, but holds {count or 'no data'}")
    return datum.float_data.reshape(shape)


def serialize_datum(image: NDArray[Any], label: int) -> bytes:
    """A Datum of raw pixels [C, H, W], as Caffe writes it: uint8 to `data`, any other number type to `float_data`."""
    channels, height, width = image.shape
    head = b"\x08%s\x10%s\x18%s" % (varint(channels), varint(height), varint(width))
    tail = b"\x28" + varint(label)
    if image.dtype == np.uint8:
        return b"%s\x22%s%s%s\x38\x00" % (head, varint(image.size), image.tobytes(), tail)
    fields = np.empty((image.size, 5), np.uint8)
    fields[:, 0] = _FLOAT
    fields[:, 1:] = np.ascontiguousarray(image, "<f4").reshape(-1, 1).view(np.uint8)
    return b"%s%s%s\x38\x00" % (head, tail, fields.tobytes())


def serialize_encoded_datum(file: bytes, label: int) -> bytes:
    """A Datum that holds an image file, as Caffe writes it: without a size, which is the file's own."""
    return b"\x22%s%s\x28%s\x38\x01" % (varint(len(file)), file, varint(label))


def find_label(read: Callable[[int, int], bytes | memoryview], size: int) -> int:
    """The label of a serialized Datum of `size` bytes, without reading its pixels; `read(start, stop)` gives bytes.

    DataError where the bytes are not a Datum. The label is the one that `parse_datum` reads.
    """
    position = label = count = 0
    while position < size:
        count += 1
        if count > MOST_FIELDS:
            raise too_many_fields()
        window = read(position, min(position + _WINDOW, size))
        key, end = read_key(window, 0, len(window))
        kind = key & 7
        if kind == wire.BYTES:
            length, end = read_varint(window, end, len(window))
            end += length
        elif kind == wire.VARINT:
            number, end = read_varint(window, end, len(window))
            if key == _LABEL:
                label = as_int32(number)
        elif kind == wire.FIXED64 or (kind == wire.FIXED32 and key != _FLOAT):
            end += 8 if kind == wire.FIXED64 else 4
        else:  # a group, or floats one by one, of which there may be many: not worth a second implementation
            return parse_datum(read(0, size)).label
        position += end
    if position > size:
        raise DataError(f"the Datum is truncated: its last field ends at byte {position}, the value at byte {size}")
    return label


def _spelled(shape: tuple[int, int, int]) -> str:
    return "{} × {} × {}".format(*shape)
