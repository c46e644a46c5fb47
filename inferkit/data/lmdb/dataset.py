"""A Caffe LMDB as a dataset: raw and encoded Datums, read as untrusted input in constant memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from inferkit.data.dataset import Dataset
from inferkit.data.lmdb.datum import Datum, find_label, parse_datum, pixels
from inferkit.data.lmdb.file import LmdbEntry, LmdbFile, spelled
from inferkit.data.memory import Scratch
from inferkit.data.pixels.decode import check_bytes, check_pixels, decode_image, pixel_limit
from inferkit.data.stream import StoredImage
from inferkit.errors import DataError

_SMALL = 4096  # bytes: what is read whole faster than in parts


class LmdbDataset(Dataset):
    """An LMDB of Datums, as convert_imageset writes it: `path` is its folder or its data file.

    DataError where it is missing, not an LMDB, empty, truncated, damaged, or its first entry is not a Datum.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_pixels: int | None = None) -> None:
        self.source = os.fspath(path)
        self.max_pixels = pixel_limit(max_pixels)
        self._file = LmdbFile(path)
        if not self._file.snapshot.entries:
            raise DataError(f"{path}: this LMDB has no entries")
        with self._blaming_writers():
            entry = next(self.entries(0))
            try:
                self._datum(entry, Scratch())
            except DataError as error:
                raise self._at(entry, error) from error

    def __len__(self) -> int:
        return self._file.snapshot.entries

    @cached_property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        return _channels_first(self.first(None))

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        with self._blaming_writers():
            labels = np.fromiter(map(self._label, self._file.entries()), np.int64)
        self.check_unchanged()
        labels.flags.writeable = False
        return labels

    def first(self, color: bool | None) -> StoredImage:
        with self._blaming_writers():
            entry = next(self.entries(0))
            try:
                return self.read(entry, color, Scratch())
            except DataError as error:
                raise self._at(entry, error) from error

    def entries(self, start: int) -> Iterator[LmdbEntry]:
        return self._file.entries(start)

    def read(self, entry: LmdbEntry, color: bool | None, scratch: Scratch) -> StoredImage:
        datum = self._datum(entry, scratch)
        if datum.encoded:
            image = decode_image(datum.data, color, self.max_pixels)
            return StoredImage(image if image.ndim == 3 else image[:, :, np.newaxis], "HWC", datum.label)
        image = pixels(datum)
        check_pixels(datum.height, datum.width, self.max_pixels)
        if color is not None and datum.channels != (3 if color else 1):
            raise DataError(
                f"the image is not encoded and has {datum.channels} channels; `color` needs an encoded image"
            )
        return StoredImage(image, "CHW", datum.label)

    def key(self, entry: LmdbEntry) -> str:
        return spelled(entry.key)

    def check_unchanged(self) -> None:
        self._file.check_unchanged()

    @contextmanager
    def _blaming_writers(self) -> Iterator[None]:
        """An error whose reason may be that another process has written meanwhile is told as that."""
        try:
            yield
        except DataError:
            self.check_unchanged()
            raise

    def close(self) -> None:
        self._file.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _reopened, (self.source, self.max_pixels)

    def _datum(self, entry: LmdbEntry, scratch: Scratch) -> Datum:
        check_bytes(entry.size, self.max_pixels)
        return parse_datum(self._file.read(entry, scratch))

    def _label(self, entry: LmdbEntry) -> int:
        """Read without the pixels, where they are more than all the rest."""
        try:
            if entry.size <= _SMALL:
                return parse_datum(self._file.read_part(entry, 0, entry.size)).label
            return find_label(lambda start, stop: self._file.read_part(entry, start, stop), entry.size)
        except DataError as error:
            raise self._at(entry, error) from error

    def _at(self, entry: LmdbEntry, error: DataError) -> DataError:
        return DataError(f"{self.source}: entry {self.key(entry)!r}: {error}")


def _reopened(path: str, max_pixels: int) -> LmdbDataset:
    return LmdbDataset(path, max_pixels=max_pixels)


def _channels_first(picture: StoredImage) -> tuple[int, int, int]:
    return (picture.pixels if picture.layout == "CHW" else picture.pixels.transpose(2, 0, 1)).shape
