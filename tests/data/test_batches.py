"""Batches have every image once and in order, for any sizes, threads and memory; streams end cleanly."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inferkit.data import ArrayDataset, Batch, Dataset, Preprocessing
from inferkit.data.memory import Scratch
from inferkit.data.stream import StoredImage
from inferkit.errors import DataError, UsageError


def numbered(count: int, shape: tuple[int, int, int] = (1, 2, 3)) -> ArrayDataset:
    """Images that are their own number in every pixel (modulo 251), with labels that are it as well."""
    images = (np.arange(count) % 251).astype(np.uint8).reshape(-1, 1, 1, 1)
    return ArrayDataset(np.broadcast_to(images, (count, *shape)).copy(), np.arange(count))


def data_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("inferkit-data")]


def collect(batches: Iterator[Batch], seen: list[int]) -> None:
    """Append the labels of all batches to `seen`, as they come."""
    for batch in batches:
        seen += batch.labels.tolist()


class Damaged(ArrayDataset):
    """A dataset whose images with certain numbers cannot be read, or whose walk ends in an error."""

    def __init__(self, count: int, bad: set[int], walk_ends_at: int | None = None) -> None:
        super().__init__(np.zeros((count, 1, 2, 2), np.uint8), np.arange(count), source="damaged")
        self.bad = bad
        self.walk_ends_at = walk_ends_at

    def entries(self, start: int) -> Iterator[int]:
        for index in range(start, len(self)):
            if index == self.walk_ends_at:
                raise DataError(f"the walk ends at {index}")
            yield index

    def read(self, entry: int, color: bool | None, scratch: Scratch) -> StoredImage:
        if entry in self.bad:
            raise DataError("the image is damaged")
        return super().read(entry, color, scratch)


@given(
    count=st.integers(1, 90),
    batch_size=st.integers(1, 100),
    limit=st.none() | st.integers(0, 120),
    start=st.integers(0, 100),
    threads=st.integers(1, 4),
    last=st.sampled_from(["short", "drop", "pad"]),
    rings=st.integers(0, 3),
    dtype=st.sampled_from(["float32", "uint8"]),
)
@settings(max_examples=120)
def test_each_image_once_and_in_order(
    count: int,
    batch_size: int,
    limit: int | None,
    start: int,
    threads: int,
    last: str,
    rings: int,
    dtype: str,
) -> None:
    dataset = numbered(count)
    out = [np.full((batch_size, 1, 2, 3), 99, dtype) for _ in range(rings)] or None
    wanted = list(range(count))[start:][:limit]
    if last == "drop":
        wanted = wanted[: len(wanted) // batch_size * batch_size]
    seen: list[int] = []
    for batch in dataset.batches(
        batch_size, limit=limit, start=start, threads=threads, last=last, out=out, dtype=None if out else dtype
    ):
        assert batch.count == len(batch.keys) > 0
        assert batch.labels.dtype == np.int64
        assert batch.images.dtype == dtype
        numbers = batch.labels[: batch.count]
        assert [int(key) for key in batch.keys] == numbers.tolist()
        assert (batch.images[: batch.count] == (numbers % 251).reshape(-1, 1, 1, 1)).all()
        assert len(batch.images) == len(batch.labels)
        assert len(batch.images) == (batch_size if last != "short" else batch.count)
        assert (batch.labels[batch.count :] == -1).all()
        assert (batch.images[batch.count :] == batch.images[batch.count - 1]).all()
        if out is not None:
            assert any(np.shares_memory(batch.images, array) for array in out)
        seen += numbers.tolist()
    assert seen == wanted
    assert not data_threads()


@settings(max_examples=200)
@given(
    count=st.integers(1, 600),
    limit=st.integers(1, 700),
    start=st.integers(0, 620),
    batch_size=st.integers(1, 70),
    threads=st.integers(1, 3),
)
@example(count=510, limit=500, start=0, batch_size=50, threads=1)
def test_some_images_spread_evenly_over_the_dataset(
    count: int, limit: int, start: int, batch_size: int, threads: int
) -> None:
    dataset = numbered(count)
    batches = list(dataset.batches(batch_size, limit=limit, start=start, spread=True, threads=threads))
    actual = [label for batch in batches for label in batch.labels]
    assert len(actual) == min(limit, max(count - start, 0))
    assert all(batch.count == batch_size for batch in batches[:-1])
    assert actual[:1] == [start][: len(actual)]
    steps = np.diff(actual)
    if len(steps):
        assert actual[-1] == count - 1
        assert steps.min() >= 1  # each once, in order, and so all of them where as many are wanted
        assert steps.max() - steps.min() <= 1


def test_images_between_those_that_are_taken_are_not_read() -> None:
    assert [batch.count for batch in Damaged(9, {1, 2, 3, 5, 6, 7}).batches(2, limit=3, spread=True)] == [2, 1]


def test_batches_are_the_callers_own() -> None:
    kept = list(numbered(40).batches(4))
    views = [batch.images[1, 0] for batch in kept]
    assert [batch.images[0, 0, 0, 0] for batch in kept] == list(range(0, 40, 4))
    del kept
    gc.collect()
    more = list(numbered(100).batches(4))
    assert [view[0, 0] for view in views] == list(range(1, 41, 4))
    assert len(more) == 25


def test_memory_for_batches_does_not_grow_with_the_dataset() -> None:
    addresses = set()
    for batch in numbered(400).batches(4):
        addresses.add(batch.images.ctypes.data)
        del batch
    assert len(addresses) < 20  # of 100 batches


def test_with_one_array_nothing_is_prepared_ahead() -> None:
    dataset, out = numbered(30), np.zeros((10, 1, 2, 3), np.float32)
    for index, batch in enumerate(dataset.batches(10, out=out, threads=3)):
        for _ in range(3):
            gc.collect()
            assert batch.images[0, 0, 0, 0] == index * 10
        assert np.shares_memory(batch.images, out)


def test_a_larger_array_than_needed_is_used_from_its_beginning() -> None:
    out = np.zeros((10, 1, 2, 3), np.uint8)
    batches = list(numbered(4).batches(4, out=out))
    assert batches[0].images.dtype == np.uint8
    assert (out[3] == 3).all()
    assert (out[4:] == 0).all()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_an_error_comes_at_its_batch_names_the_entry_and_ends_the_threads(threads: int, batch_size: int) -> None:
    seen: list[int] = []
    with pytest.raises(DataError, match=r"damaged: entry '21': the image is damaged"):
        collect(Damaged(64, {21, 30}).batches(batch_size, threads=threads), seen)
    assert seen == list(range(21 // batch_size * batch_size))
    assert not data_threads()


def test_an_error_of_the_walk_comes_after_the_batches_before_it() -> None:
    seen: list[int] = []
    with pytest.raises(DataError, match="the walk ends at 21"):
        collect(Damaged(64, set(), walk_ends_at=21).batches(4, threads=2), seen)
    assert seen == list(range(20))


@pytest.mark.parametrize("how", ["close", "drop", "never begun"])
def test_ending_early_ends_the_threads(how: str) -> None:
    batches = numbered(5000).batches(2, threads=3)
    if how != "never begun":
        assert next(batches).count == 2
        assert data_threads()
    if how == "close":
        batches.close()
    del batches
    gc.collect()
    assert not data_threads()


def test_several_streams_of_one_dataset_do_not_disturb_each_other() -> None:
    dataset = numbered(60)
    pairs = list(zip(dataset.batches(7), dataset.batches(7, start=0, threads=2), strict=True))
    for first, second in pairs:
        np.testing.assert_array_equal(first.images, second.images)
    assert len(pairs) == 9


def test_images_of_another_size_are_named_with_the_hint() -> None:
    class TwoSizes(ArrayDataset):
        def read(self, entry: int, color: bool | None, scratch: Scratch) -> StoredImage:
            picture = super().read(entry, color, scratch)
            return picture._replace(pixels=picture.pixels[:, :4]) if entry == 5 else picture

    dataset = TwoSizes(np.zeros((8, 1, 6, 6), np.uint8), np.arange(8))
    with pytest.raises(DataError, match=r"entry '5': the image becomes \(1, 4, 6\).*need a resize or a crop"):
        list(dataset.batches(4))
    assert sum(batch.count for batch in dataset.batches(4, preprocessing=Preprocessing(crop=3))) == 8
    with pytest.raises(DataError, match=r"entry '5': .* fewer than the crop 5 × 5"):
        list(dataset.batches(4, preprocessing=Preprocessing(crop=5)))


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 0},
        {"batch_size": 4, "threads": 0},
        {"batch_size": 4, "limit": -1},
        {"batch_size": 4, "start": -1},
        {"batch_size": 4, "last": "lost"},
        {"batch_size": 4, "dtype": "float64"},
        {"batch_size": 4, "out": []},
        {"batch_size": 4, "out": np.zeros((3, 1, 2, 3), np.float32)},
        {"batch_size": 4, "out": np.zeros((4, 1, 2, 4), np.float32)},
        {"batch_size": 4, "out": np.zeros((4, 1, 2, 3), np.float32), "dtype": "uint8"},
        {"batch_size": 4, "out": np.broadcast_to(np.float32(0), (4, 1, 2, 3))},
        {"batch_size": 4, "out": np.zeros((4, 1, 2, 3), np.float64)},
    ],
)
def test_arguments_without_sense_are_told_when_batches_is_called(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        numbered(9).batches(**arguments)


def test_a_preprocessing_that_does_not_fit_is_told_when_batches_is_called() -> None:
    with pytest.raises(DataError, match="array: the image has 2 × 3 pixels"):
        numbered(9).batches(3, preprocessing=Preprocessing(crop=4))


def test_no_images_are_no_batches() -> None:
    dataset: Dataset = numbered(5)
    nothing: list[Batch] = [*dataset.batches(3, limit=0), *dataset.batches(3, start=5)]
    assert nothing == []
