"""A dataset: images with labels, in a fixed order, streamed in batches; and the mean of its images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator

import numpy as np
from numpy.typing import DTypeLike, NDArray

from inferkit.data.pixels.decode import MAX_PIXELS
from inferkit.data.pixels.preprocessing import Preprocessing
from inferkit.data.stream import Batch, Output, Reader, stream
from inferkit.errors import UsageError

LAST = ("short", "drop", "pad")


class Dataset(Reader):
    """Images with labels. Close it, or use it as a context manager, where it holds a file open.

    `max_pixels` limits the images that are decoded: DataError beyond it.
    """

    max_pixels: int = MAX_PIXELS

    @abstractmethod
    def __len__(self) -> int:
        """How many images there are; at least one."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """[C, H, W] of the first image as it is stored; others differ only where images are encoded."""

    @property
    @abstractmethod
    def labels(self) -> NDArray[np.int64]:
        """The label of every image, in order. int64 [N], read-only."""

    def batches(
        self,
        batch_size: int,
        *,
        limit: int | None = None,
        preprocessing: Preprocessing | None = None,
        out: Output | None = None,
        threads: int = 1,
        dtype: DTypeLike | None = None,
        start: int = 0,
        last: str = "short",
        spread: bool = False,
    ) -> Generator[Batch, None, None]:
        """Every image from the `start`-th on, at most `limit`, once and in order, in batches of `batch_size`.

        With `spread` the `limit` images are not the first, but spread evenly from there to the last; those between are
        not read. Datasets are often sorted by class: their first images show only one.

        The images of all batches have one shape: the first image's after `preprocessing` (default: as stored, nothing
        subtracted). `threads` in the background read, decode and preprocess, ahead of the caller by a batch or two;
        closing the generator, or dropping it, ends them. `dtype` is float32 (default) or uint8.

        `last` says what becomes of fewer than `batch_size` images at the end: a `short` batch, `drop` them, or `pad`.

        `out` is memory to write to: an array [batch_size, C, H, W], such as a session's page-locked one, or several,
        which are used in turn. Then a batch's images are valid until the next batch is asked for; with one array
        nothing is prepared ahead, with three all goes on at once. Without it, each batch is the caller's own.

        Raises UsageError for invalid arguments; DataError, at the batch that it concerns, for an image that is
        damaged or does not fit, naming its key.
        """
        if batch_size < 1 or threads < 1 or start < 0 or (limit is not None and limit < 0):
            raise UsageError(
                f"batches of {batch_size} images by {threads} threads, from {start} on, at most {limit}: "
                "sizes and threads begin at 1, start and limit at 0"
            )
        if last not in LAST:
            raise UsageError(f"last must be one of {', '.join(LAST)}, not {last!r}")
        indices = range(min(start, len(self)), len(self))
        count = len(indices) if limit is None else min(limit, len(indices))
        return stream(
            self,
            _spread(indices, count) if spread and count < len(indices) else indices[:count],
            batch_size,
            preprocessing=preprocessing or Preprocessing(),
            out=out,
            threads=threads,
            dtype=dtype,
            last=last,
        )

    def close(self) -> None:
        """Release files; safe to call twice."""

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def compute_mean(dataset: Dataset) -> NDArray[np.float32]:
    """The mean image [C, H, W] of a dataset of images of one size, as compute_image_mean finds it, bit for bit.

    Like Caffe it adds float32 numbers one image after another. That is exact up to 65,793 uint8 images (their sum
    stays below 2**24); beyond, both round alike. DataError where images differ in shape.
    """
    total = np.zeros(dataset.shape, np.float32)
    for batch in dataset.batches(32):
        for image in batch.images:
            total += image
    return np.divide(total, np.float32(len(dataset)), dtype=np.float32)


def _spread(indices: range, count: int) -> list[int]:
    """`count` of the indices, spread evenly, with both ends."""
    return [indices[position * (len(indices) - 1) // max(count - 1, 1)] for position in range(count)]
