"""Real images for timing and calibration: the first of the dataset, or embedded ones brought to the input's shape.

Never zeros: denormal and zero inputs are faster on some hardware, and calibration of zeros is no calibration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import DataError, UsageError
from inferkit.network.open_dimensions import require_sizes, toml_key

if TYPE_CHECKING:
    from inferkit.backends.uint8_input import Uint8Input
    from inferkit.network.network import Network, TensorInfo

EMBEDDED = "fashion_mnist"
_SEED = 1
_CALIBRATION_BATCH = 50


@dataclass(frozen=True)
class CalibrationImages:
    """Batches by input name, and the name under which a network remembers what it was calibrated with."""

    batches_by_input: Iterator[dict[str, NDArray[Any]]]
    name: str

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        return self.batches_by_input


class ImageSource:
    """Where a network's timing and calibration images come from. `description` says it in one line.

    `uint8_input`: what the network will do to pixels itself, once it is at its precision. Then the first images are
    pixels, and the calibration, of a network that takes float32 still, sees what becomes of them.
    """

    def __init__(
        self,
        network: Network,
        dataset: str | None,
        preprocessing: Mapping[str, Any],
        uint8_input: Uint8Input | None = None,
    ) -> None:
        self._inputs = network.inputs
        self._dataset = dataset
        self._preprocessing = preprocessing
        self._uint8_input = uint8_input
        if uint8_input is not None:
            from inferkit.data.opening import pixels_only

            self._inputs = tuple(
                replace(info, dtype="uint8") if info.name == uint8_input.input else info for info in network.inputs
            )
            self._preprocessing = pixels_only(preprocessing)
        self.description = dataset or f"{EMBEDDED}, brought to the input's shape"

    def first(self, count: int) -> dict[str, NDArray[Any]]:
        """The first `count` images (fewer where the dataset has fewer) by input name."""
        batch = next(self._batches(count), None)
        if batch is None:
            raise DataError(f"{self.description}: holds no image")
        return batch

    def calibration(self, count: int) -> CalibrationImages:
        """`count` images spread evenly over the dataset, in batches by input name.

        Evenly, because databases are often sorted by class. The embedded dataset has test images only, so these are
        among them; 500 of 10,000 set nothing but the ranges of the activations.
        """
        return CalibrationImages(map(self._normalized, self._evenly(count)), f"{self.description}, evenly spaced")

    def _normalized(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """As a network sees it that takes float32."""
        wanted = self._uint8_input
        if wanted is None:
            return batch
        return {name: wanted.normalize(array) if name == wanted.input else array for name, array in batch.items()}

    def _evenly(self, count: int) -> Iterator[dict[str, NDArray[Any]]]:
        if self._dataset is None:
            yield from self._standing_in(count)
            return
        yield from self._batches(_CALIBRATION_BATCH, count)

    def _batches(self, batch_size: int, evenly: int | None = None) -> Iterator[dict[str, NDArray[Any]]]:
        if self._dataset is None:
            yield from self._standing_in(batch_size, batch_size)
            return
        from inferkit.data.opening import open_batches  # processes that time a network read no dataset

        name = self._inputs[0].name
        if len(self._inputs) != 1:
            raise DataError(f"{self._dataset}: a dataset feeds one input; the network has {len(self._inputs)}")
        which: dict[str, Any] = {} if evenly is None else {"limit": evenly, "spread": True}
        for batch in open_batches(self._dataset, batch_size, self._preprocessing, self._inputs[0], **which):
            yield {name: batch.images[: batch.count]}

    def _standing_in(self, count: int, batch_size: int = _CALIBRATION_BATCH) -> Iterator[dict[str, NDArray[Any]]]:
        if all(info.batch_axis is None for info in self._inputs):
            batch_size = 1  # each run takes one item
        for start in range(0, count, batch_size):
            yield stand_ins(self._inputs, min(batch_size, count - start), start)


def stand_ins(inputs: Sequence[TensorInfo], count: int, start: int = 0) -> dict[str, NDArray[Any]]:
    """`stand_in` for each input by name. UsageError where a size is open that nothing states: none is invented."""
    require_sizes(inputs)
    require_batch({info.name: info.batch_axis for info in inputs}, count)
    return {info.name: stand_in(info, count, start) for info in inputs}


def require_batch(axes: Mapping[str, int | None], count: int) -> None:
    """UsageError where a batch of several is wanted, but no input has an axis for it."""
    if count > 1 and axes and all(axis is None for axis in axes.values()):
        name = next(iter(axes))
        raise UsageError(
            f"no axis of the inputs ({', '.join(axes)}) is known to be the batch, so there is no batch of {count}; "
            f"take batch size 1, or where one is the batch, say which: `batch_axis = {{{toml_key(name)} = 0}}` in the "
            f"network's table of the matrix, `--batch-axis {name}=0` on the command line"
        )


def stand_in(info: TensorInfo, count: int, start: int = 0) -> NDArray[Any]:
    """`count` inputs for a network that has no dataset: embedded images for image inputs, seeded values for others.

    Floats are images less their mean grey, as networks trained on pixels expect; unsigned numbers are the pixels. They
    lie along the batch's axis; an input without one gets a single value of its shape, a scalar a one. UsageError for a
    dimension whose size is open, DataError for a type that is no number.
    """
    require_sizes([info])
    dtype, axis = np.dtype(info.dtype), info.batch_axis
    is_float = dtype.kind == "f" or dtype.name == "bfloat16"
    if not is_float and dtype.kind not in "iub":
        raise DataError(f"input {info.name!r} of type {info.dtype} needs a dataset")
    shape = [size or 0 for size in info.shape]
    if not shape:
        return np.ones((), dtype)
    single = shape if axis is None else shape[:axis] + shape[axis + 1 :]
    if len(single) == 3 and not axis and (is_float or dtype.kind == "u"):
        pixels = _embedded(1 if axis is None else count, start)
        is_channels_last = single[2] in (1, 3, 4) and single[0] not in (1, 3, 4)
        channels, height, width = (single[2], single[0], single[1]) if is_channels_last else single
        images = _resized(pixels, (channels, height, width))
        images = images.transpose(0, 2, 3, 1) if is_channels_last else images
        if is_float:  # unsigned numbers would wrap below the mean, black to a light grey
            values = (images.astype(np.float32) - np.float32(pixels.mean())).astype(dtype)
        else:
            values = images.astype(dtype)
        return values[0] if axis is None else values
    if axis is not None:
        shape[axis] = count
    random = np.random.default_rng([_SEED, start])
    if is_float:
        return random.standard_normal(shape).astype(dtype)
    return random.integers(0, 2, shape).astype(dtype)


def _embedded(count: int, start: int) -> NDArray[np.uint8]:
    """`count` embedded images from number `start` on, repeated where the dataset ends, uint8 [count, 28, 28]."""
    from inferkit.data.opening import open_dataset

    parts, skipped, wanted = [], 0, count
    while wanted > 0:
        for batch in open_dataset(EMBEDDED).batches(max(count, 1), dtype="uint8"):
            pixels = batch.images[max(start - skipped, 0) :][:wanted]
            skipped += len(batch.images)
            if len(pixels):
                parts.append(pixels[:, 0])
                wanted -= len(pixels)
            if wanted <= 0:
                break
    return np.concatenate(parts)


def _resized(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Grey images to [N, C, H, W] of `shape`, bilinear."""
    import cv2

    channels, height, width = shape
    grown = np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR) for image in pixels])
    return np.repeat(grown[:, None], channels, axis=1)
