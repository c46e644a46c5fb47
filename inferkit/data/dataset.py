"""A dataset: images with labels, in a fixed order, streamed in batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from inferkit.data.lmdb.file import Scratch
from inferkit.data.pixels.decode import MAX_PIXELS
from inferkit.data.pixels.preprocessing import Preprocessing
from inferkit.errors import UsageError

Output = NDArray[Any] | Sequence[NDArray[Any]]
LAST = ("short", "drop", "pad")


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


class Picture(NamedTuple):
    """One image as a dataset stores it: [C, H, W] or [H, W, C] as `layout` says, uint8 or float32; and its label."""

    pixels: NDArray[Any]
    layout: str
    label: int


class Dataset(ABC):
    """Images with labels. Close it, or use it as a context manager, where it holds a file open.

    `source` is what messages call it. `max_pixels` limits the images that are decoded: DataError beyond it.
    """

    source: str
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

        Raises UsageError for arguments without sense; DataError, at the batch that it concerns, for an image that is
        damaged or does not fit, naming its key.
        """
        from inferkit.data.stream import stream

        if batch_size < 1 or threads < 1 or start < 0 or (limit is not None and limit < 0):
            raise UsageError(
                f"batches of {batch_size} images by {threads} threads, from {start} on, at most {limit}: "
                "sizes and threads begin at 1, start and limit at 0"
            )
        if last not in LAST:
            raise UsageError(f"last {last!r}: there are {', '.join(LAST)}")
        there = range(min(start, len(self)), len(self))
        count = len(there) if limit is None else min(limit, len(there))
        return stream(
            self,
            _spread(there, count) if spread and count < len(there) else there[:count],
            batch_size,
            preprocessing=preprocessing or Preprocessing(),
            out=out,
            threads=threads,
            dtype=dtype,
            last=last,
        )

    @abstractmethod
    def first(self, color: bool | None) -> Picture:
        """The first image: what batches take their shape from. `color` as in Preprocessing."""

    @abstractmethod
    def entries(self, start: int) -> Iterator[Any]:
        """What identifies each image from the `start`-th on; cheap, nothing is decoded."""

    @abstractmethod
    def read(self, entry: Any, color: bool | None, scratch: Scratch) -> Picture:
        """The image of an entry; it may lie in `scratch`. Called by several threads, each with its own scratch."""

    @abstractmethod
    def key(self, entry: Any) -> str:
        """The name of an entry."""

    def check_unchanged(self) -> None:  # noqa: B027 - most datasets cannot change
        """DataError where what was read may be mixed up, since someone changed the dataset meanwhile."""

    def close(self) -> None:  # noqa: B027 - most datasets hold nothing open
        """Release files; safe to call twice."""

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _spread(there: range, count: int) -> list[int]:
    """`count` of the indices that are there, spread evenly, with both ends."""
    return [there[position * (len(there) - 1) // max(count - 1, 1)] for position in range(count)]
