"""Extracts the numbers of a binary Caffe model without copying them, and writes numbers into blobs as fast.

Protobuf messages hand their numbers over one Python object at a time: seconds for a model of 240 MB. Here the blobs'
numbers become numpy views into the file's bytes, and only the rest (names, types, shapes: a few kilobytes) is given to
protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inferkit.errors import DataError
from inferkit.network.caffe.files.schema import BlobProto, Message, stored_values
from inferkit.wire import BYTES, FIXED32, FIXED64, VARINT, read_numbers, read_varint, varint

# Where blobs are: field number of a message -> what is in that field. Nothing within: it is a BlobProto.
Where: TypeAlias = Mapping[int, "Where"]
_BLOB: Where = {}
_V0_LAYER: Where = {50: _BLOB}
_V1_LAYER: Where = {1: _V0_LAYER, 6: _BLOB}
_LAYER: Where = {7: _BLOB}
_NET: Where = {2: _V1_LAYER, 100: _LAYER}

_DATA, _DIFF, _DOUBLE_DATA, _DOUBLE_DIFF = 5, 6, 8, 9
# NVCaffe's fields of BlobProto (its caffe.proto, release 0.16): the numbers as bytes, and the type of each.
_RAW_TYPE, _RAW_DIFF_TYPE, _RAW_DATA, _RAW_DIFF = 10, 11, 12, 13
_RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}
_RAW_NAMES = {_RAW_TYPE: "raw_data_type", _RAW_DATA: "raw_data"}
_STORED = stored_values.number


class Field(NamedTuple):
    """One field: its number, wire type, where its key begins, and where its value begins and ends."""

    number: int
    kind: int
    key: int
    start: int
    end: int


def take_values(model: bytes) -> tuple[bytes, list[NDArray[np.float32]]]:
    """Split a serialized NetParameter into a small one without numbers, and the numbers of each blob (flat).

    Each BlobProto of the small one has `stored_values`: 1 + the index of its numbers, where it has any. The arrays
    are views into `model`, except where they had to be gathered (unpacked encoding) or rounded (double_data).
    Gradients (diff) are dropped. Raises DataError with the byte where the message stops making sense.
    """
    values: list[NDArray[np.float32]] = []
    return bytes(_without_values(model, 0, len(model), _NET, values)), values


def blob_values(blob: BlobProto, stored: Sequence[NDArray[np.float32]] = ()) -> NDArray[np.float32]:
    """The numbers of one blob, flat: those in `stored` that `take_values` took out of it, else its own."""
    if blob.HasExtension(stored_values):
        index = blob.Extensions[stored_values]
        if 0 < index <= len(stored):
            return stored[index - 1]
    serialized = blob.SerializeToString()
    values: list[NDArray[np.float32]] = []
    _blob_without_values(serialized, 0, len(serialized), values)
    return values[0] if values else np.empty(0, np.float32)


def foreign_fields(message: Message) -> str:
    """The fields of a blob or layer that Caffe 1.0 does not have, in words: where a fork may have put the numbers."""
    content = message.SerializeToString()
    known = {field.number for field in message.DESCRIPTOR.fields} | {_STORED}
    numbers = sorted({field.number for field in fields(content, 0, len(content))} - known)
    names = _RAW_NAMES if isinstance(message, BlobProto) else {}
    return " and ".join(f"field {number}" + (f" ({names[number]})" if number in names else "") for number in numbers)


def put_values(blob: BlobProto, values: ArrayLike) -> None:
    """Append numbers to blob.data; 20 times as fast as blob.data.extend."""
    numbers = np.ascontiguousarray(values, dtype="<f4").tobytes()
    if numbers:
        blob.MergeFromString(_key(_DATA, BYTES) + varint(len(numbers)) + numbers)


def fields(buffer: bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in buffer[start:end], in order. Raises DataError."""
    position = start
    while position < end:
        key_at = position
        key, position = read_varint(buffer, position, end)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise DataError(f"byte {key_at} does not begin a protobuf field")
        if kind == VARINT:
            value_at = position
            _, position = read_varint(buffer, position, end)
        elif kind == BYTES:
            size, value_at = read_varint(buffer, position, end)
            position = value_at + size
        elif kind in (FIXED32, FIXED64):
            value_at = position
            position += 4 if kind == FIXED32 else 8
        else:
            raise DataError(f"byte {key_at} does not begin a protobuf field")
        if position > end:
            raise DataError(
                f"the field at byte {key_at} needs {position - value_at} bytes, but only {end - value_at} are left"
            )
        yield Field(number, kind, key_at, value_at, position)


def _key(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def _without_values(buffer: bytes, start: int, end: int, inside: Where, values: list[NDArray[np.float32]]) -> bytearray:
    if inside is _BLOB:
        return _blob_without_values(buffer, start, end, values)
    kept = bytearray()
    for field in fields(buffer, start, end):
        deeper = inside.get(field.number) if field.kind == BYTES else None
        if deeper is None:
            kept += buffer[field.key : field.end]
        else:
            part = _without_values(buffer, field.start, field.end, deeper, values)
            kept += _key(field.number, BYTES) + varint(len(part)) + part
    return kept


def _blob_without_values(buffer: bytes, start: int, end: int, values: list[NDArray[np.float32]]) -> bytearray:
    kept = bytearray()
    singles: list[NDArray] = []
    doubles: list[NDArray] = []
    raw: list[Field] = []
    raw_type = 0
    position = start
    while position < end:
        field = next(fields(buffer, position, end))
        position = field.end
        if field.number in (_DATA, _DIFF) and field.kind in (BYTES, FIXED32):
            numbers, position = _numbers(buffer, field, end, FIXED32, "<f4")
            singles += [numbers] if field.number == _DATA else []
        elif field.number in (_DOUBLE_DATA, _DOUBLE_DIFF) and field.kind in (BYTES, FIXED64):
            numbers, position = _numbers(buffer, field, end, FIXED64, "<f8")
            doubles += [numbers] if field.number == _DOUBLE_DATA else []
        elif field.number == _RAW_DATA and field.kind == BYTES:
            raw = [field]
        elif field.number == _RAW_TYPE and field.kind == VARINT:
            raw_type, _ = read_varint(buffer, field.start, field.end)
        elif field.number not in (_STORED, _RAW_DIFF, _RAW_DIFF_TYPE):
            kept += buffer[field.key : field.end]
    chosen = [part for part in doubles if part.size] or singles  # Caffe takes double_data where there is any
    if raw and not any(part.size for part in chosen):  # Caffe's own fields come first
        if raw_type in _RAW_TYPES:
            chosen = [_raw_numbers(buffer, raw[0], _RAW_TYPES[raw_type])]
        else:
            kept += _key(_RAW_TYPE, VARINT) + varint(raw_type) + buffer[raw[0].key : raw[0].end]
    if chosen:
        joined = chosen[0] if len(chosen) == 1 else np.concatenate(chosen)
        with np.errstate(over="ignore"):  # a double beyond float's range becomes infinite, as in Caffe
            values.append(joined.astype(np.float32, copy=False))
        kept += _key(_STORED, VARINT) + varint(len(values))
    return kept


def _raw_numbers(buffer: bytes, field: Field, dtype: str) -> NDArray:
    """NVCaffe's raw_data as numbers."""
    count, excess = divmod(field.end - field.start, np.dtype(dtype).itemsize)
    if excess:
        raise DataError(f"the raw_data at byte {field.start} takes {field.end - field.start} bytes, no whole numbers")
    return np.frombuffer(buffer, dtype, count, field.start)


def _numbers(buffer: bytes, field: Field, end: int, unpacked: int, dtype: str) -> tuple[NDArray, int]:
    """The numbers of a packed field, or of a whole run of single ones; and the position after them."""
    size = np.dtype(dtype).itemsize
    if field.kind == BYTES:
        count, excess = divmod(field.end - field.start, size)
        if excess:
            raise DataError(
                f"the numbers at byte {field.start} take {field.end - field.start} bytes, not a multiple of {size}"
            )
        return np.frombuffer(buffer, dtype, count, field.start), field.end
    # Unpacked: one key byte (numbers below 16 have one) before each number.
    return read_numbers(memoryview(buffer), field.number << 3 | unpacked, field.start, end, dtype)
