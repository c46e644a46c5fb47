"""Datasets: Caffe LMDBs, arrays, image files, and the embedded one; their preprocessing and labels."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferkit.data.arrays import ArrayDataset as ArrayDataset
    from inferkit.data.dataset import Dataset as Dataset
    from inferkit.data.dataset import compute_mean as compute_mean
    from inferkit.data.image_files import ImageFilesDataset as ImageFilesDataset
    from inferkit.data.image_files import read_folder as read_folder
    from inferkit.data.image_files import read_list as read_list
    from inferkit.data.labels import read_labels as read_labels
    from inferkit.data.lmdb.dataset import LmdbDataset as LmdbDataset
    from inferkit.data.lmdb.write import write_lmdb as write_lmdb
    from inferkit.data.opening import open_dataset as open_dataset
    from inferkit.data.pixels.mean import read_mean as read_mean
    from inferkit.data.pixels.mean import write_binaryproto as write_binaryproto
    from inferkit.data.pixels.preprocessing import Preprocessing as Preprocessing
    from inferkit.data.pixels.transform_param import preprocessing_of as preprocessing_of
    from inferkit.data.stream import Batch as Batch

_WHERE = {
    "ArrayDataset": "arrays",
    "Batch": "stream",
    "Dataset": "dataset",
    "ImageFilesDataset": "image_files",
    "LmdbDataset": "lmdb.dataset",
    "Preprocessing": "pixels.preprocessing",
    "compute_mean": "dataset",
    "open_dataset": "opening",
    "preprocessing_of": "pixels.transform_param",
    "read_folder": "image_files",
    "read_labels": "labels",
    "read_list": "image_files",
    "read_mean": "pixels.mean",
    "write_binaryproto": "pixels.mean",
    "write_lmdb": "lmdb.write",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'inferkit.data' has no attribute {name!r}")
    return getattr(import_module(f"inferkit.data.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
