"""Opens a dataset by path or name: the embedded one, an LMDB, arrays, a list of files, or a folder of images.

It is opened whole, or as batches that are preprocessed for the input of a network.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from inferkit.data.dataset import Dataset
from inferkit.data.fashion_mnist import NAME, open_fashion_mnist
from inferkit.data.pixels.mean import read_mean
from inferkit.data.pixels.preprocessing import Preprocessing
from inferkit.data.stream import Batch
from inferkit.errors import DataError, UsageError
from inferkit.network.network import TensorInfo

EMBEDDED = (NAME,)
_LARGEST_IMAGE = 1 << 30  # values of an image in a file of arrays


def open_dataset(path_or_name: str | os.PathLike[str], *, max_pixels: int | None = None) -> Dataset:
    """The dataset that `path_or_name` is:

    `fashion_mnist`, the embedded test images · an LMDB's folder or its data file · a `.npz` or `.npy` file · a list
    of `path label` lines, its images beside it · a folder whose subfolders hold the images of one class each, or one
    of images without labels.

    `max_pixels` limits single images (default: $INFERKIT_MAX_PIXELS, else 100 million). DataError where the dataset is
    none of these, or damaged.
    """
    if path_or_name in EMBEDDED:
        return open_fashion_mnist()
    path = Path(path_or_name)
    try:
        if path.is_dir():
            return _open_folder(path, max_pixels)
        if not path.exists():
            raise DataError(f"{path}: no such file or folder, and not the embedded dataset {NAME}")
        if not path.is_file():
            raise DataError(f"{path}: is not a regular file")
        with open(path, "rb") as file:
            beginning = file.read(32)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _open_file(path, beginning, max_pixels)


def check_dataset(
    path_or_name: str | os.PathLike[str],
    preprocessing: Mapping[str, Any] | None = None,
    *,
    labelled: bool = False,
    info: TensorInfo | None = None,
) -> None:
    """DataError where `open_dataset` would raise one, or the first image cannot be read or preprocessed; milliseconds.

    Of arrays only the headers are read. `labelled`: the first image needs a label too. `info`: it must fit this input,
    as pixels where that takes uint8.
    """
    path = Path(path_or_name)
    is_array = path_or_name not in EMBEDDED and _is_array_file(path)
    with _blank(path) if is_array else open_dataset(path_or_name) as images:
        steps = preprocessing_from(preprocessing or {})
        (first,) = images.batches(1, limit=1, preprocessing=steps, dtype=image_type(info))
    if labelled and first.labels[0] < 0:
        raise DataError(f"{path}: has images without a label; set `accuracy = false` for this network")
    if info is not None:
        _check_shape(first.images.shape[1:], info, str(path_or_name))


def _blank(path: Path) -> Dataset:
    """One black image of the shape that a file of arrays states, labelled where its images are."""
    import numpy as np

    from inferkit.data.arrays import ArrayDataset, array_names
    from inferkit.data.npy import read_shapes

    shapes = read_shapes(path)
    images, labels = array_names(path, shapes)
    if math.prod(shapes[images][1:]) > _LARGEST_IMAGE:
        raise DataError(f"{path}: an image has the shape {shapes[images][1:]}; expected: [N, C, H, W] or [N, H, W]")
    blank = np.zeros((1, *shapes[images][1:]), np.uint8)
    return ArrayDataset(blank, None if labels is None else [0], source=str(path))


def open_batches(
    dataset: str,
    batch_size: int,
    preprocessing: Mapping[str, Any],
    info: TensorInfo,
    *,
    start: int = 0,
    limit: int | None = None,
    spread: bool = False,
    out: Sequence[NDArray[Any]] | None = None,
) -> Iterator[Batch]:
    """Batches of a dataset by name or path, preprocessed for an input. DataError for data that does not fit.

    At most `limit` images from the `start`-th on, with `spread` evenly over all that follow. The last batch is filled
    up to `batch_size`, which engines of a fixed size need; its `count` says how many are real. `preprocessing`:
    Preprocessing's fields as TOML and JSON have them: a mean image is the path of its file. With `out`, arrays of a
    batch each, images are decoded straight into these in turn and are valid until the next batch.
    """
    options: dict[str, Any] = {
        "preprocessing": preprocessing_from(preprocessing),
        "dtype": image_type(info),
        "start": start,
    }
    with open_dataset(dataset) as images:
        if out:  # what does not fit is said of the image and the network, not of the memory between them
            for first in images.batches(1, limit=1, **options):
                _check_shape(first.images.shape[1:], info, dataset)
        for batch in images.batches(batch_size, last="pad", limit=limit, spread=spread, out=out or None, **options):
            _check_shape(batch.images.shape[1:], info, dataset)
            yield batch


def image_type(info: TensorInfo | None) -> str:
    """The type of the images that an input is fed: uint8, or float32, which sessions take for any floating type."""
    return "uint8" if info is not None and info.dtype == "uint8" else "float32"


def _check_shape(shape: tuple[int, ...], info: TensorInfo, dataset: str) -> None:
    if info.batch_axis:
        raise DataError(
            f"{dataset}: input {info.name!r} is {info.text}, with its batch on axis {info.batch_axis}; a dataset's "
            "images lie along axis 0"
        )
    wanted = info.shape[1:]
    fits = len(shape) == len(wanted) and all(dim in (None, size) for dim, size in zip(wanted, shape, strict=True))
    if not fits:
        image, input_shape = (" × ".join("any" if dim is None else str(dim) for dim in d) for d in (shape, wanted))
        raise DataError(
            f"{dataset}: an image is {image} after preprocessing, but input {info.name!r} takes {input_shape} "
            "(channels, height, width); set color, resize or crop in the network's `preprocessing`"
        )


def preprocessing_from(fields: Mapping[str, Any]) -> Preprocessing:
    """A Preprocessing from its fields as TOML and JSON have them.

    UsageError for fields that there are not, and for values that cannot be; DataError for a mean file that cannot be
    read.
    """
    known = [field.name for field in dataclasses.fields(Preprocessing)]
    if unknown := [name for name in fields if name not in known]:
        raise UsageError(f"a preprocessing has no {unknown[0]!r}; it has {', '.join(known)}")
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    if isinstance(values.get("mean"), str):
        values["mean"] = read_mean(values["mean"])
    return Preprocessing(**values)


def pixels_only(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields without mean and scale, where the network has these: Preprocessing's method of this name."""
    return {name: value for name, value in fields.items() if name not in ("mean", "mean_values", "scale")}


def _open_folder(path: Path, max_pixels: int | None) -> Dataset:
    from inferkit.data.image_files import read_folder
    from inferkit.data.lmdb.dataset import LmdbDataset

    is_database = (path / "data.mdb").exists() or (path / "CURRENT").exists() or not any(path.iterdir())
    return LmdbDataset(path, max_pixels=max_pixels) if is_database else read_folder(path, max_pixels=max_pixels)


def _open_file(path: Path, beginning: bytes, max_pixels: int | None) -> Dataset:
    from inferkit.data.arrays import ArrayDataset
    from inferkit.data.image_files import read_list
    from inferkit.data.lmdb.dataset import LmdbDataset

    if beginning[16:20] == b"\xde\xc0\xef\xbe" or path.suffix == ".mdb":
        return LmdbDataset(path, max_pixels=max_pixels)
    if _holds_arrays(path, beginning):
        return ArrayDataset.load(path)
    return read_list(path, max_pixels=max_pixels)


def _is_array_file(path: Path) -> bool:
    if not os.path.isfile(path):  # a pipe would never end
        return False
    try:
        with open(path, "rb") as file:
            return _holds_arrays(path, file.read(32))
    except OSError:
        return False


def _holds_arrays(path: Path, beginning: bytes) -> bool:
    return beginning.startswith((b"\x93NUMPY", b"PK\x03\x04")) or path.suffix in (".npz", ".npy")
