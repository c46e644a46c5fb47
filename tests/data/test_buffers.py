"""Memory for batches is reused when, and only when, no array refers to it any more."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inferkit.data.memory import BufferPool


@given(st.lists(st.sampled_from(["take", "view", "drop first", "drop last"]), max_size=60))
def test_arrays_in_use_never_share_memory(actions: list[str]) -> None:
    pool = BufferPool((2, 3), np.float32, spare=2)
    held: list[tuple[NDArray[Any], float]] = []
    number = 0.0
    for action in actions:
        if action == "take":
            array = pool.take()
            assert array.shape == (2, 3)
            assert array.dtype == np.float32
            number += 1
            array[...] = number
            held.append((array, number))
            del array
        elif action == "view" and held:
            array, value = held.pop()
            held.append((array.reshape(-1)[1:3].view(), value))  # only a view of a view is kept
            del array
        elif action.startswith("drop") and held:
            held.pop(0 if action == "drop first" else -1)
        assert all((array == value).all() for array, value in held)


def test_memory_comes_back() -> None:
    pool = BufferPool((1000,), np.uint8, spare=2)
    array = pool.take()
    address = array.ctypes.data
    view = array[::2][3:]
    del array
    gc.collect()
    assert pool.take().ctypes.data != address
    del view
    gc.collect()
    assert pool.take().ctypes.data == address


def test_no_more_than_the_spare_arrays_are_kept() -> None:
    pool = BufferPool((10,), np.uint8, spare=3)
    held = [pool.take() for _ in range(20)]
    held.clear()
    gc.collect()
    assert len(pool._spare) == 3
