"""Opens whatever a user names as a dataset: the embedded one, an LMDB, arrays, a list of files, a folder of images."""

from __future__ import annotations

import os
from pathlib import Path

from inferkit.data.dataset import Dataset
from inferkit.data.fashion_mnist import NAME, open_fashion_mnist
from inferkit.errors import DataError

EMBEDDED = (NAME,)


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
            raise DataError(
                f"{path}: there is no such file or folder, nor an embedded dataset of this name (there is {NAME})"
            )
        if not path.is_file():
            raise DataError(f"{path}: is no file")
        with open(path, "rb") as file:
            beginning = file.read(32)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _open_file(path, beginning, max_pixels)


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
    if beginning[:6] == b"\x93NUMPY" or beginning[:4] == b"PK\x03\x04" or path.suffix in (".npz", ".npy"):
        return ArrayDataset.load(path)
    return read_list(path, max_pixels=max_pixels)
