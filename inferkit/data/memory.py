"""Reuses memory while images are read: scratch for one value at a time, and buffers of batches no longer in use."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Scratch:
    """Memory for one value at a time, kept from one to the next; each thread needs its own."""

    def __init__(self) -> None:
        self._memory = bytearray()

    def view(self, size: int) -> memoryview:
        """`size` bytes, in new memory only where the old is too small, so that old views stay valid."""
        if len(self._memory) < size:
            self._memory = bytearray(size)
        return memoryview(self._memory)[:size]


class BufferPool:
    """Arrays of one shape and type; at most `spare` unused ones are kept."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, spare: int) -> None:
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._spare: deque[NDArray[np.uint8]] = deque(maxlen=spare)  # appending beyond it drops the oldest

    def take(self) -> NDArray[Any]:
        """An array whose content is undefined."""
        try:
            memory = self._spare.pop()
        except IndexError:
            memory = np.empty(math.prod(self._shape) * self._dtype.itemsize, np.uint8)
        # numpy's views of views refer to the first object that is no array: all views of the result keep the lease.
        return np.asarray(_Lease(memory, self._spare)).view(self._dtype).reshape(self._shape)


class _Lease:
    """Holds the memory while an array refers to it, and then gives it back."""

    def __init__(self, memory: NDArray[np.uint8], home: deque[NDArray[np.uint8]]) -> None:
        self._memory = memory
        self._home = home
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        self._home.append(self._memory)
