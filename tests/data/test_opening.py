"""open_dataset recognizes a dataset by its content, not by its name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inferkit.data import ArrayDataset, ImageFilesDataset, LmdbDataset, open_dataset
from inferkit.data.opening import preprocessing_from
from inferkit.errors import DataError, UsageError
from tests.data.caffe_files import write_pictures

FIXTURES = Path(__file__).parent / "fixtures"


def test_an_lmdb_by_folder_by_file_and_under_any_name(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "raw.mdb", tmp_path / "data.mdb")
    shutil.copy(FIXTURES / "raw.mdb", tmp_path / "some database")
    for path in (tmp_path, str(tmp_path / "data.mdb"), tmp_path / "some database"):
        dataset = open_dataset(path, max_pixels=5000)
        assert isinstance(dataset, LmdbDataset)
        assert len(dataset) == 4
        assert dataset.max_pixels == 5000


def test_arrays_and_lists(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.bin.npz", images=np.zeros((2, 3, 4, 4), np.uint8))
    shutil.move(tmp_path / "a.bin.npz", tmp_path / "a.bin")
    assert isinstance(open_dataset(tmp_path / "a.bin"), ArrayDataset)
    listing = write_pictures(tmp_path / "pictures", [(8, 8)])
    assert isinstance(open_dataset(listing, max_pixels=64), ImageFilesDataset)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file or folder.*fashion_mnist"),
        (lambda path: path.mkdir(), "no data.mdb"),
        (lambda path: (path.mkdir(), (path / "CURRENT").touch()), "LevelDB"),
        (lambda path: (path.mkdir(), (path / "file").touch()), "nor a subfolder contains images"),
        (lambda path: path.touch(), "lists no images"),
        (lambda path: path.write_bytes(bytes(range(256))), "not UTF-8 text|not a label"),
        (lambda path: os.mkfifo(path), "is not a regular file"),
        (lambda path: path.symlink_to(path), "no such file"),
    ],
)
def test_what_is_no_dataset_is_named(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "data"
    make(path)  # type: ignore[operator]
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(path)
    assert str(path) in str(caught.value)


def test_a_damaged_lmdb_is_recognized_as_one(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"garbage" * 2000)
    with pytest.raises(DataError, match="is not an LMDB"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="is not an LMDB"):
        open_dataset(tmp_path / "data.mdb")


def test_opening_loads_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys, inferkit.data\n"
        "assert 'numpy' not in sys.modules, 'the package alone needs no numpy'\n"
        "from inferkit.data import Preprocessing, open_dataset\n"
        f"dataset = open_dataset({str(FIXTURES / 'raw.mdb')!r})\n"
        "list(dataset.batches(2, preprocessing=Preprocessing(crop=8)))\n"
        "print([name for name in ('cv2', 'lmdb', 'scipy', 'onnx', 'google.protobuf') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_preprocessing_with_a_field_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="has no 'scael'; it has resize, crop"):
        preprocessing_from({"scael": 2})
