"""The protobuf wire format, read from untrusted input: numbers, and fields to be skipped.

Facts from https://protobuf.dev/programming-guides/encoding/: a field begins with a key, a base-128 number that holds
the field's number (key >> 3) and its wire type (key & 7). Limits are those of the official parsers, so that both accept
the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import DataError

VARINT, FIXED64, BYTES, GROUP_START, GROUP_END, FIXED32 = 0, 1, 2, 3, 4, 5
_64_BITS = 2**64 - 1
MOST_FIELDS = 100_000
_MAX_DEPTH = 100  # how deep the official parsers follow nested groups


def read_varint(buffer: memoryview | bytes, position: int, end: int) -> tuple[int, int]:
    """The number (0 to 2**64 - 1) that begins at `position`, and the position after it. DataError where it is cut."""
    number = shift = 0
    while True:
        if position >= end:
            raise DataError(f"the message ends within a number, at byte {end}")
        byte = buffer[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & _64_BITS, position  # bits beyond are dropped, as the official parsers do
        shift += 7
        if shift > 63:
            raise DataError(f"the message has a number of more than ten bytes at byte {position - 1}")


def read_key(buffer: memoryview | bytes, position: int, end: int, lowest: int = 8) -> tuple[int, int]:
    """The key of the field that begins at `position`, and the position after it. DataError where it is none."""
    key, after = read_varint(buffer, position, end)
    if key >> 32 or after - position > 5 or key < lowest:
        raise DataError(f"the message has no protobuf field at byte {position}")
    return key, after


def read_length(buffer: memoryview | bytes, position: int, end: int) -> tuple[int, int]:
    """Where the length-delimited value begins whose length is at `position`, and where it ends."""
    size, start = read_varint(buffer, position, end)
    if start - position > 5:
        raise DataError(f"the message has a length of more than five bytes at byte {position}")
    if size > end - start:
        raise DataError(
            f"the message is truncated: the field at byte {position} declares {size} bytes, but {end - start} are left"
        )
    return start, start + size


def skip(buffer: memoryview | bytes, key: int, position: int, end: int) -> int:
    """The position after the value of the field `key`, whose value begins at `position`: an unknown field."""
    open_groups: list[int] = []
    for _ in range(MOST_FIELDS):
        kind = key & 7
        if kind == VARINT:
            _, position = read_varint(buffer, position, end)
        elif kind == BYTES:
            _, position = read_length(buffer, position, end)
        elif kind in (FIXED32, FIXED64):
            position += 4 if kind == FIXED32 else 8
            if position > end:
                raise DataError(f"the message ends within a field, at byte {end}")
        elif kind == GROUP_START:
            open_groups.append(key >> 3)
            if len(open_groups) > _MAX_DEPTH:
                raise DataError(f"the message has groups nested over {_MAX_DEPTH} deep at byte {position}")
        elif kind == GROUP_END and open_groups and open_groups[-1] == key >> 3:
            open_groups.pop()
        else:
            raise DataError(f"the message has no protobuf field before byte {position}")
        if not open_groups:
            return position
        key, position = read_key(buffer, position, end, lowest=0)  # inside of groups, field 0 is passed over too
    raise too_many_fields()


def read_numbers(view: memoryview, key: int, position: int, end: int, dtype: str) -> tuple[NDArray[Any], int]:
    """A run of repeated fields that are not packed: `key`, `<f4` or `<f8`, `key`, … ; and the position after it.

    `position` is where the first value begins, as after read_key. All values that follow one another are taken at once.
    """
    size = np.dtype(dtype).itemsize
    # A key spelled with more bytes than it needs ends in a zero byte: then it is one value, not the start of a run.
    possible = (end - position + 1) // (size + 1) if view[position - 1] == key else 0
    if possible == 0:
        if end - position < size:
            raise DataError(f"the message ends within a field, at byte {end}")
        return np.frombuffer(view[position : position + size], dtype), position + size
    begin = position - 1
    fields = np.frombuffer(view[begin : begin + possible * (size + 1)], np.uint8).reshape(possible, size + 1)
    # The run's end is looked for in windows that double: runs of one must not each cost a look at all that follows.
    length, window = 0, 16
    while length < possible:
        others = np.flatnonzero(fields[length : length + window, 0] != key)
        if len(others):
            length += int(others[0])
            break
        length = min(length + window, possible)
        window *= 2
    values = np.ascontiguousarray(fields[:length, 1:]).reshape(-1).view(dtype)
    return values, begin + length * (size + 1)


def too_many_fields() -> DataError:
    """What is raised for a message of more than MOST_FIELDS fields: no real one has so many, and each takes time."""
    return DataError(f"the message has over {MOST_FIELDS} fields")


def as_int32(number: int) -> int:
    """A varint as protobuf's int32: its low 32 bits, signed."""
    number &= 0xFFFFFFFF
    return number - 0x100000000 if number & 0x80000000 else number


def varint(number: int) -> bytes:
    """`number` (negative ones as 64-bit two's complement, as protobuf's int32 and int64) in base-128 encoding."""
    number &= _64_BITS
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
