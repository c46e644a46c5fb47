"""Images in memory as a dataset: arrays, or a .npz or .npy file of arrays."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inferkit.data.dataset import Dataset
from inferkit.data.memory import Scratch
from inferkit.data.npy import MAX_BYTES, read_arrays
from inferkit.data.stream import StoredImage
from inferkit.errors import DataError


class ArrayDataset(Dataset):
    """`images` [N, C, H, W] or gray [N, H, W], uint8 or floats, with `labels` [N] (none: -1 for each).

    With `layout="HWC"` images are [N, H, W, C]. `keys` name the images (default: their numbers). Nothing is copied,
    except floats that are not float32. DataError where shapes or types do not fit.
    """

    def __init__(
        self,
        images: NDArray[Any],
        labels: ArrayLike | None = None,
        *,
        keys: Sequence[str] | None = None,
        layout: str = "CHW",
        source: str = "array",
    ) -> None:
        self.source = source
        images = np.asarray(images)
        if images.dtype != np.uint8 and images.dtype.kind != "f":
            raise DataError(f"{source}: images must be uint8 or floats, not {images.dtype}")
        if images.ndim == 3:
            images = images[:, np.newaxis] if layout == "CHW" else images[:, :, :, np.newaxis]
        if images.ndim != 4 or images.size == 0:
            raise DataError(f"{source}: images must have the shape [N, C, H, W] or [N, H, W], not {images.shape}")
        self._images = images if images.dtype == np.uint8 else images.astype(np.float32, copy=False)
        self._layout = layout
        numbers = np.full(len(images), -1) if labels is None else np.asarray(labels)
        if numbers.shape != (len(images),) or numbers.dtype.kind not in "iu":
            raise DataError(
                f"{source}: {len(images)} images need as many integer labels, not {numbers.dtype} {numbers.shape}"
            )
        self._labels = numbers.astype(np.int64)
        self._labels.flags.writeable = False
        if keys is not None and len(keys) != len(images):
            raise DataError(f"{source}: there are {len(images)} images, but {len(keys)} keys")
        self._keys = keys

    @classmethod
    def load(cls, path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> ArrayDataset:
        """From a .npz file with `images` and `labels` (also x and y), or a .npy file of images.

        No pickle is read. DataError for a damaged file, or an array of more than `max_bytes` (4 GiB).
        """
        arrays = read_arrays(path, max_bytes)
        images, labels = array_names(path, arrays)
        return cls(arrays[images], None if labels is None else arrays[labels], source=os.fspath(path))

    def __len__(self) -> int:
        return len(self._images)

    @property
    def shape(self) -> tuple[int, int, int]:
        if self._layout == "HWC":
            height, width, channels = self._images.shape[1:]
            return channels, height, width
        return self._images.shape[1:]

    @property
    def labels(self) -> NDArray[np.int64]:
        return self._labels

    def first(self, color: bool | None) -> StoredImage:
        return self.read(0, color, Scratch())

    def entries(self, start: int) -> Iterator[int]:
        return iter(range(start, len(self)))

    def read(self, entry: int, color: bool | None, scratch: Scratch) -> StoredImage:
        if color is not None and self.shape[0] != (3 if color else 1):
            raise DataError(
                f"the image is not encoded and has {self.shape[0]} channels; `color` needs an encoded image"
            )
        return StoredImage(self._images[entry], self._layout, int(self._labels[entry]))

    def key(self, entry: int) -> str:
        return str(entry) if self._keys is None else self._keys[entry]


def array_names(path: str | os.PathLike[str], names: Collection[str]) -> tuple[str, str | None]:
    """Which of a file's arrays are images and labels; None where there are no labels. DataError without images."""
    images = next((name for name in ("images", "x") if name in names), None)
    if images is None:
        raise DataError(f"{path}: holds {', '.join(sorted(names)) or 'no arrays'}; expected: images and labels")
    return images, next((name for name in ("labels", "y") if name in names), None)
