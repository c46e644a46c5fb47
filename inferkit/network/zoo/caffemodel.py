"""Writes a caffemodel: a binary NetParameter that holds every layer's name, type and parameter blobs.

Only the small parts go through protobuf. The numbers, half a gigabyte for VGG, are written as they lie in memory:
a packed float field is its length and then the little-endian values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from inferkit.network.caffe.files import schema
from inferkit.wire import BYTES, varint


def caffemodel(name: str, layers: Iterable[tuple[str, str, Sequence[np.ndarray]]]) -> Iterator[bytes | memoryview]:
    """The file's content in pieces: for each layer (name, type, float32 blobs of any shape).

    Raises ValueError for blobs of another type: Caffe would read double_data, and read it slowly.
    """
    yield schema.NetParameter(name=name).SerializeToString()
    for layer, kind, arrays in layers:
        blobs = [_blob(layer, array) for array in arrays]
        head = schema.LayerParameter(name=layer, type=kind).SerializeToString()
        size = len(head) + sum(len(prefix) + len(values) for prefix, values in blobs)
        yield _tag(schema.NetParameter, "layer") + varint(size) + head
        for prefix, values in blobs:
            yield prefix
            yield values


def _blob(layer: str, array: np.ndarray) -> tuple[bytes, memoryview]:
    """One BlobProto as a field of its layer: everything before the numbers, and the numbers."""
    if array.dtype != np.float32:
        raise ValueError(f"layer {layer}: a blob is {array.dtype}, not float32")
    values = np.ascontiguousarray(array, "<f4").data.cast("B")
    shape = schema.BlobProto(shape=schema.BlobShape(dim=array.shape)).SerializeToString()
    head = shape + _tag(schema.BlobProto, "data") + varint(len(values))
    return _tag(schema.LayerParameter, "blobs") + varint(len(head) + len(values)) + head, values


def _tag(message: Any, field: str) -> bytes:
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | BYTES)
