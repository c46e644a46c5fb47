"""A dataset's images in batches: background threads fill the next batches while the caller works on this one.

The unit of work is a slice of a batch, so that threads share one large batch as well as many of one image. The caller's
own thread only walks along the entries and hands out slices, so that there is no thread more than asked for, and errors
arrive in order, at the batch that they concern.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from inferkit.data.memory import BufferPool, Scratch
from inferkit.data.pixels.image_transform import ImageTransform
from inferkit.data.pixels.preprocessing import Preprocessing
from inferkit.errors import DataError, UsageError

Output = NDArray[Any] | Sequence[NDArray[Any]]

_LARGEST_SLICE = 32  # images: so that closing a stream never waits for more than these
_AHEAD = 32  # images that are at least waiting while the caller works, beside the batch that is being filled


@dataclass(frozen=True, eq=False)
class Batch:
    """`images` [N, C, H, W] float32 or uint8, `labels` int64 [N], and `keys`, the images' names in the dataset.

    `count` images are real. N is `count`, except for a padded last batch: there it is the batch size, what follows
    after `count` repeats the last real image, with the label -1, and `keys` has only the real ones.
    """

    images: NDArray[Any]
    labels: NDArray[np.int64]
    keys: tuple[str, ...]
    count: int


class StoredImage(NamedTuple):
    """One image as a dataset stores it: [C, H, W] or [H, W, C] as `layout` says, uint8 or float32; and its label."""

    pixels: NDArray[Any]
    layout: str
    label: int


class Reader(ABC):
    """Reads single images: what a stream of batches needs of a dataset. `source` is what messages call it."""

    source: str

    @abstractmethod
    def first(self, color: bool | None) -> StoredImage:
        """The first image: what batches take their shape from. `color` as in Preprocessing."""

    @abstractmethod
    def entries(self, start: int) -> Iterator[Any]:
        """What identifies each image from the `start`-th on; cheap, nothing is decoded."""

    @abstractmethod
    def read(self, entry: Any, color: bool | None, scratch: Scratch) -> StoredImage:
        """The image of an entry; it may lie in `scratch`. Called by several threads, each with its own scratch."""

    @abstractmethod
    def key(self, entry: Any) -> str:
        """The name of an entry."""

    def check_unchanged(self) -> None:  # noqa: B027 - most datasets cannot change
        """DataError where what was read may be mixed up, since someone changed the dataset meanwhile."""


@dataclass
class _Pending:
    """A batch in the making: its memory, the work that fills it, and what went wrong before any work began."""

    images: NDArray[Any]
    labels: NDArray[np.int64]
    entries: Sequence[Any]
    futures: list[Future[None]] = field(default_factory=list)
    error: Exception | None = None


def stream(
    dataset: Reader,
    indices: Sequence[int],
    batch_size: int,
    *,
    preprocessing: Preprocessing,
    out: Output | None,
    threads: int,
    dtype: DTypeLike | None,
    last: str,
) -> Generator[Batch, None, None]:
    """The images of `dataset` with these indices, which increase (Dataset.batches). Arguments are checked at once."""
    arrays = _outputs(out)
    kind = np.dtype(dtype) if dtype is not None else arrays[0].dtype if arrays else np.dtype(np.float32)
    if any(array.dtype != kind for array in arrays):
        raise UsageError(f"out has the type {', '.join(str(array.dtype) for array in arrays)}, but dtype is {kind}")
    filler = _Filler(dataset, preprocessing, kind)
    for array in arrays:
        if array.ndim != 4 or len(array) < batch_size or array.shape[1:] != filler.shape or not array.flags.writeable:
            raise UsageError(f"out has the shape {array.shape}; it must be {(batch_size, *filler.shape)} and writable")
    return _stream(filler, indices, batch_size, arrays, threads, last)


def _stream(
    filler: _Filler, indices: Sequence[int], batch_size: int, arrays: list[NDArray[Any]], threads: int, last: str
) -> Generator[Batch, None, None]:
    slice_size = max(1, min(_LARGEST_SLICE, -(-batch_size // threads)))
    # Memory that no one has touched yet is slow: no more batches are in the making than keep all threads at work.
    ahead = max(-(-_AHEAD // batch_size), -(-threads // -(-batch_size // slice_size)))
    pool = BufferPool((batch_size, *filler.shape), filler.dtype, spare=ahead + 1)
    free = deque(array[:batch_size] for array in arrays)
    pending: deque[_Pending] = deque()
    executor = ThreadPoolExecutor(threads, thread_name_prefix="inferkit-data")
    try:
        plans = _plan(filler.dataset, indices, batch_size, drop=last == "drop")
        exhausted = False
        while True:
            while not exhausted and len(pending) <= ahead and (free or not arrays):
                planned = next(plans, None)
                if planned is None:
                    exhausted = True
                    break
                batch = _Pending(free.popleft() if arrays else pool.take(), np.empty(batch_size, np.int64), planned[0])
                batch.error = planned[1]
                exhausted = batch.error is not None
                pending.append(batch)
                for begin in range(0, len(batch.entries), slice_size) if not exhausted else ():
                    batch.futures.append(executor.submit(filler.fill, batch, begin, begin + slice_size))
            if not pending:
                return
            done = pending.popleft()
            memory = done.images
            yield _finish(filler, done, pad=last == "pad")
            del done
            if arrays:
                free.append(memory)
            del memory
    finally:
        filler.stop.set()
        executor.shutdown(wait=True, cancel_futures=True)


class _Filler:
    """Reads, decodes and preprocesses slices of batches; its `fill` runs in several threads."""

    def __init__(self, dataset: Reader, preprocessing: Preprocessing, dtype: np.dtype[Any]) -> None:
        self.dataset = dataset
        self.dtype = dtype
        self.stop = threading.Event()
        self._preprocessing = preprocessing
        self._transforms: dict[tuple[Any, ...], ImageTransform] = {}
        self._local = threading.local()
        first = dataset.first(preprocessing.color)
        try:
            transform = self._transform_for(first.pixels, first.layout)
        except DataError as error:
            raise DataError(f"{dataset.source}: {error}") from error
        self.shape = transform.output_shape

    def fill(self, batch: _Pending, begin: int, end: int) -> None:
        """Fill rows `begin` to `end` of a batch. DataError that names the dataset and the key."""
        if not hasattr(self._local, "scratch"):
            self._local.scratch = Scratch()
        scratch: Scratch = self._local.scratch
        for row, entry in enumerate(batch.entries[begin:end], begin):
            if self.stop.is_set():
                return
            try:
                pixels, layout, label = self.dataset.read(entry, self._preprocessing.color, scratch)
                transform = self._transform_for(pixels, layout)
                if transform.output_shape != self.shape:
                    raise DataError(
                        f"the image becomes {transform.output_shape} [C, H, W], the first of the dataset {self.shape}; "
                        "images of several sizes need a resize or a crop, mixed gray and colour images need `color`"
                    )
                transform.write(pixels, batch.images[row])
                batch.labels[row] = label
            except DataError as error:
                self.dataset.check_unchanged()  # if it was changed, that is the reason
                raise DataError(f"{self.dataset.source}: entry {self.dataset.key(entry)!r}: {error}") from error

    def _transform_for(self, pixels: NDArray[Any], layout: str) -> ImageTransform:
        shape = pixels.shape
        transform = self._transforms.get(shape)
        if transform is None:
            if len(self._transforms) > 1000:  # encoded images of very many sizes: memory stays bounded
                self._transforms.clear()
            transform = self._transforms[shape] = self._preprocessing.for_shape(shape, layout, self.dtype)
        return transform


def _plan(
    dataset: Reader, indices: Sequence[int], batch_size: int, drop: bool
) -> Iterator[tuple[Sequence[Any], Exception | None]]:
    """The entries of each batch; an error that stops the walk comes in its place, as the last."""
    entries = _entries(dataset, indices)
    while True:
        try:
            batch = list(islice(entries, batch_size))
        except DataError as error:
            yield (), error
            return
        if not batch or (drop and len(batch) < batch_size):
            return
        yield batch, None


def _entries(dataset: Reader, indices: Sequence[int]) -> Iterator[Any]:
    """The entries with these indices, which increase: one walk along the dataset."""
    walk: Iterator[Any] = dataset.entries(indices[0]) if indices else iter(())
    if isinstance(indices, range):
        yield from islice(walk, len(indices))
        return
    position = indices[0] if indices else 0
    for index in indices:
        yield from islice(walk, index - position, index - position + 1)
        position = index + 1


def _finish(filler: _Filler, pending: _Pending, pad: bool) -> Batch:
    """Wait for a batch, and give it its final form."""
    if pending.error is not None:
        filler.dataset.check_unchanged()
        raise pending.error
    for future in pending.futures:
        future.result()
    filler.dataset.check_unchanged()
    count = len(pending.entries)
    keys = tuple(filler.dataset.key(entry) for entry in pending.entries)
    if not pad or count == len(pending.images):
        return Batch(pending.images[:count], pending.labels[:count], keys, count)
    pending.images[count:] = pending.images[count - 1]
    pending.labels[count:] = -1
    return Batch(pending.images, pending.labels, keys, count)


def _outputs(out: Output | None) -> list[NDArray[Any]]:
    if out is None:
        return []
    arrays = [out] if isinstance(out, np.ndarray) else list(out)
    if not arrays:
        raise UsageError("out is an empty list; give at least one array")
    return arrays
