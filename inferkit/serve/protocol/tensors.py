"""Tensors of the Open Inference Protocol: its datatypes, and arrays from a request's bytes or numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import UsageError
from inferkit.serve.batching.errors import BadRequest

DATATYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
_NAMES = {numpy: name for name, numpy in DATATYPES.items()}


def datatype(dtype: str) -> str:
    """The protocol's name of a numpy type. UsageError where it has none."""
    if dtype not in _NAMES:
        raise UsageError(f"tensors of type {dtype} cannot be served: the protocol has no name for them")
    return _NAMES[dtype]


def from_bytes(name: str, kind: str, shape: Sequence[int], content: bytes | memoryview) -> NDArray[Any]:
    """A tensor of little-endian bytes, without a copy. BadRequest where they do not fill the shape."""
    dtype = _dtype(name, kind, shape)
    wanted = math.prod(shape) * dtype.itemsize
    if len(content) != wanted:
        raise BadRequest(f"input {name} has {len(content)} bytes; {kind} {list(shape)} takes {wanted}")
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)


def from_numbers(name: str, kind: str, shape: Sequence[int], numbers: Any) -> NDArray[Any]:
    """A tensor of numbers, flat or nested, row by row. BadRequest where they are none, too many, or out of range."""
    dtype = _dtype(name, kind, shape)
    try:
        given = np.asarray(numbers)
        if dtype.kind != "b" and _has_truth(numbers):
            raise BadRequest(f"input {name}: the data has true or false, which are no numbers of type {kind}")
        if given.dtype.kind in "fO" and given.size:
            given = _exact(numbers, given, dtype)
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"input {name}: the data is not a tensor ({error})") from None
    if given.size != math.prod(shape):
        raise BadRequest(f"input {name} has {given.size} numbers; {list(shape)} takes {math.prod(shape)}")
    fits = {"b": "b", "u": "iu", "i": "iu", "f": "iuf"}[dtype.kind]
    is_exact = given.dtype.kind == "O" and dtype.kind in "ui" and all(isinstance(number, int) for number in given.flat)
    if given.size and given.dtype.kind not in fits and not is_exact:
        raise BadRequest(f"input {name}: the data is not of type {kind}")
    if given.size and dtype.kind in "ui":
        limits = np.iinfo(dtype)
        if int(given.min()) < limits.min or int(given.max()) > limits.max:
            raise BadRequest(f"input {name}: the data is outside of {kind}, {limits.min} to {limits.max}")
    with np.errstate(over="ignore"):
        tensor = given.astype(dtype).reshape(shape)
    if dtype.kind == "f" and np.count_nonzero(np.isinf(tensor)) > np.count_nonzero(np.isinf(given)):
        raise BadRequest(f"input {name}: the data is outside of {kind}, up to {np.finfo(dtype).max:.4g}")
    return tensor


def _has_truth(numbers: Any) -> bool:
    """Whether there is a true or false among numbers, flat or nested: numpy takes them for 1 and 0."""
    if not isinstance(numbers, list):
        return False
    kinds = set(map(type, numbers))
    return bool in kinds or (list in kinds and any(map(_has_truth, numbers)))


def _exact(numbers: Any, given: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers that numpy took for float64 or for objects: whole ones over 2^63 beside others, as what they are.

    For an integer type they stay Python's integers; for a floating type each becomes the nearest float64.
    """
    if dtype.kind == "f" and given.dtype.kind == "f":
        return given
    each = np.array(numbers, dtype=object)
    kinds = {type(number) for number in each.flat}
    if dtype.kind == "f" and kinds <= {int, float}:
        return each.astype(np.float64)
    return each if dtype.kind in "ui" and kinds <= {int} else given


def _dtype(name: str, kind: str, shape: Sequence[int]) -> np.dtype[Any]:
    if kind not in DATATYPES:
        raise BadRequest(f"input {name} has the datatype {kind!r}; there are {', '.join(DATATYPES)}")
    sound = 1 <= len(shape) <= 16 and all(type(dim) is int and dim >= 0 for dim in shape)
    if not sound or math.prod(dim or 1 for dim in shape) >= 1 << 40:  # numpy counts the others where one is 0
        raise BadRequest(f"input {name} has the invalid shape {list(shape)[:16]}")
    return np.dtype(DATATYPES[kind])
