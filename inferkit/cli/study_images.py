"""The images of the study: full batches of a database in order, prepared as the network's training prepared them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.data.pixels.mean import read_mean
from inferkit.data.pixels.preprocessing import Preprocessing
from inferkit.errors import DataError, NetworkError, UsageError

if TYPE_CHECKING:
    from inferkit.data.dataset import Dataset


@dataclass(frozen=True, eq=False)
class StudyBatch:
    """`images` [batch, C, H, W] of float32 or uint8, `labels` int64 [batch], `keys` in the database.

    `again`: the dataset had ended before them, and began again.
    """

    images: NDArray[Any]
    labels: NDArray[np.int64]
    keys: tuple[str, ...]
    again: bool = False


def read_batches(
    dataset: Dataset, batch: int, iterations: int, preprocessing: Preprocessing, dtype: str = "float32"
) -> Iterator[StudyBatch]:
    """`iterations` full batches of the dataset's images in order; at its end it begins again."""
    left = batch * iterations
    kept: list[StudyBatch] = []
    again = False
    while left > 0:
        for part in dataset.batches(batch, limit=left, preprocessing=preprocessing, dtype=dtype):
            kept.append(StudyBatch(part.images[: part.count], part.labels[: part.count], part.keys, again))
            left -= part.count
            while sum(len(piece.labels) for piece in kept) >= batch:
                joined = _join(kept)
                yield _slice(joined, 0, batch)
                rest = _slice(joined, batch, len(joined.labels))
                kept = [rest] if len(rest.labels) else []
        again = True


def _join(pieces: Sequence[StudyBatch]) -> StudyBatch:
    if len(pieces) == 1:
        return pieces[0]
    return StudyBatch(
        np.concatenate([piece.images for piece in pieces]),
        np.concatenate([piece.labels for piece in pieces]),
        tuple(key for piece in pieces for key in piece.keys),
        any(piece.again for piece in pieces),
    )


def _slice(batch: StudyBatch, start: int, stop: int) -> StudyBatch:
    return StudyBatch(batch.images[start:stop], batch.labels[start:stop], batch.keys[start:stop], batch.again)


def read_preprocessing(mean_image: str | None, size: tuple[int, int], base: Preprocessing) -> Preprocessing:
    """`base` with the mean image subtracted and the centre cropped to the network's input `size` (height, width)."""
    mean = base.mean if mean_image is None else read_mean(mean_image)
    values = base.mean_values if mean_image is None else ()
    return Preprocessing(base.resize, size, mean, values, base.scale, base.channel_order, base.color)


def training_preprocessing(model: Path) -> Preprocessing:
    """What the TEST phase's data layer of a training prototxt does to images; nothing for a deploy prototxt."""
    from inferkit.data.pixels.transform_param import preprocessing_of
    from inferkit.network.caffe.files.read import read_prototxt
    from inferkit.network.caffe.prototxt.deploy import is_data
    from inferkit.network.caffe.prototxt.filter import filter_net
    from inferkit.network.caffe.prototxt.upgrade import upgrade

    try:
        net = read_prototxt(model)
        upgrade(net, model)
        layers = [layer for layer in filter_net(net, model).layer if is_data(layer)]
    except NetworkError:
        return Preprocessing()  # what the import cannot read, Caffe could
    transforms = [layer.transform_param for layer in layers if layer.HasField("transform_param")]
    return preprocessing_of(transforms[0], model.parent) if transforms else Preprocessing()


def image_input(inputs: Mapping[str, tuple[int | None, ...]], model: Path) -> tuple[str, tuple[int, ...]]:
    """Name and shape (with 1 for a dynamic batch size) of the only input. UsageError where there are several, or it
    takes no images."""
    if len(inputs) != 1:
        raise UsageError(f"{model} has the inputs {', '.join(inputs) or 'none'}; exactly one is needed, for the images")
    ((name, shape),) = inputs.items()
    if len(shape) != 4:
        raise UsageError(f"{model}: input {name} has the shape {list(shape)}; images need [N, C, H, W]")
    return name, tuple(1 if dim is None else dim for dim in shape)


def first_shape(dataset: Dataset, preprocessing: Preprocessing) -> tuple[int, int, int]:
    """[C, H, W] of the first image after `preprocessing`. DataError where they do not fit."""
    first = dataset.first(preprocessing.color)
    return preprocessing.output_shape(first.pixels.shape, first.layout)


def check_channels(image: tuple[int, ...], shape: tuple[int, ...], source: str) -> None:
    """DataError where images of this shape are not what the network takes; Caffe itself would abort."""
    if image[0] != shape[1]:
        raise DataError(f"{source}: its images have {image[0]} channels, the network takes {shape[1]}")
