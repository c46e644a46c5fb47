"""Batches of a dataset for an input: images that do not fit are named with both shapes and what changes them."""

from __future__ import annotations

import numpy as np
import pytest

from inferkit.data.opening import open_batches
from inferkit.errors import DataError
from inferkit.network.network import TensorInfo


@pytest.mark.parametrize(
    ("shape", "fits"),
    [((None, 1, 4, 4), True), ((2, 1, None, None), True), ((None, 3, 4, 4), False), ((None, 16), False)],
)
def test_images_that_do_not_fit_name_the_preprocessing(tmp_path, shape, fits):
    np.savez(tmp_path / "images.npz", images=np.zeros((3, 1, 4, 4), np.uint8), labels=np.zeros(3, np.int64))
    batches = open_batches(str(tmp_path / "images.npz"), 2, {}, TensorInfo("data", "float32", shape))
    if fits:
        assert [batch.count for batch in batches] == [2, 1]
    else:
        with pytest.raises(DataError, match=r"1 × 4 × 4 after preprocessing.*`preprocessing`"):
            next(batches)


def test_images_are_put_straight_into_memory_that_is_given(tmp_path):
    images = np.arange(5 * 3 * 4 * 4, dtype=np.uint8).reshape(5, 3, 4, 4)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(5))
    info = TensorInfo("data", "float32", (None, 3, 4, 4))
    out = [np.empty((2, 3, 4, 4), np.float32) for _ in range(3)]
    seen = []
    for batch in open_batches(str(tmp_path / "images.npz"), 2, {}, info, out=out):
        assert any(batch.images.ctypes.data == memory.ctypes.data for memory in out)
        seen.append(batch.images[: batch.count].copy())
    np.testing.assert_array_equal(np.concatenate(seen), images)
    wrong = [np.empty((2, 1, 9, 9), np.float32)] * 3
    narrower = TensorInfo("data", "float32", (None, 1, 9, 9))
    with pytest.raises(DataError, match="3 × 4 × 4 after preprocessing"):
        next(open_batches(str(tmp_path / "images.npz"), 2, {}, narrower, out=wrong))
