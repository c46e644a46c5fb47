"""Memory for batches that is used again as soon as nobody refers to it any more.

Fresh memory costs as much as filling it: the system clears every page of it first. A batch's array is the caller's own,
for as long as he keeps it or any view of it; when the last of them goes, its memory serves a later batch.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class BufferPool:
    """Arrays of one shape and type; at most `spare` that nobody uses are kept."""

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
