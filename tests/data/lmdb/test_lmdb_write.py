"""Written LMDBs are read back as they were given, by us and by the LMDB library, and appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferkit.data import LmdbDataset, write_lmdb
from inferkit.data.lmdb import write as writer
from inferkit.errors import DataError, UsageError
from inferkit.network.caffe.files.schema import Datum
from tests.data.caffe_files import picture


@given(
    st.data(),
    st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40)),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=9),
    st.sampled_from([np.uint8, np.float32]),
)
@settings(max_examples=40)
def test_images_and_labels_round_trip(
    data: st.DataObject, shape: tuple[int, int, int], labels: list[int], dtype: type
) -> None:
    elements = st.floats(-1e3, 1e3, width=32) if dtype is np.float32 else None
    images = [data.draw(hnp.arrays(dtype, shape, elements=elements, fill=st.just(dtype(3)))) for _ in labels]
    with tempfile.TemporaryDirectory() as folder:
        write_lmdb(Path(folder) / "db", images, labels)
        with LmdbDataset(Path(folder) / "db") as dataset:
            assert dataset.shape == shape
            assert dataset.labels.tolist() == labels
            batch = next(dataset.batches(len(labels), dtype=dtype))
            np.testing.assert_array_equal(batch.images, np.stack(images))


def test_keys_are_those_of_convert_imageset(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "db", np.zeros((3, 4, 5), np.uint8), [7, 8, 9], names=["a.jpg", "b/c.jpg", "ä"])
    with lmdb.open(str(tmp_path / "db"), readonly=True, lock=False) as environment, environment.begin() as transaction:
        result = {key.decode(): Datum.FromString(value) for key, value in transaction.cursor()}
    assert list(result) == ["00000000_a.jpg", "00000001_b/c.jpg", "00000002_ä"]
    assert [datum.label for datum in result.values()] == [7, 8, 9]
    assert os.listdir(tmp_path / "db") == ["data.mdb"]
    assert os.listdir(tmp_path) == ["db"]


@pytest.mark.parametrize("suffix", ["jpg", "png", ".png"])
def test_encoded_images(tmp_path: Path, suffix: str) -> None:
    images = [picture(0, 20, 30).transpose(2, 0, 1), picture(1, 31, 17, 1)]
    write_lmdb(tmp_path / "db", images, [1, 2], encoded=suffix)
    with LmdbDataset(tmp_path / "db") as dataset:
        assert dataset.shape == (3, 20, 30)
        from inferkit.data import Preprocessing

        batch = next(dataset.batches(2, preprocessing=Preprocessing(color=True, crop=17), dtype="uint8"))
        if "png" in suffix:
            np.testing.assert_array_equal(batch.images[0], images[0][:, 1:18, 6:23])


def test_image_files_are_stored_as_they_are(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "db", [b"any bytes"], [4])
    with LmdbDataset(tmp_path / "db") as dataset, pytest.raises(DataError, match=r"00000000_0.*not a JPEG"):
        list(dataset.batches(1))


def test_the_map_grows_as_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_FIRST_MAP", 1 << 16)
    monkeypatch.setattr(writer, "_COMMIT_BYTES", 1 << 15)
    images = np.random.default_rng(0).integers(0, 256, (100, 3, 30, 30), np.uint8)
    write_lmdb(tmp_path / "db", images, range(100))
    with LmdbDataset(tmp_path / "db") as dataset:
        np.testing.assert_array_equal(next(dataset.batches(100, dtype="uint8")).images, images)


@pytest.mark.parametrize(
    ("images", "labels", "extra", "message"),
    [
        ([np.zeros((2, 2), np.uint8)], [1, 2], {}, "fewer images than labels"),
        ([np.zeros((2, 2), np.uint8)] * 2, [1], {}, "more images than labels"),
        ([np.zeros((2, 2), np.uint8)], [1], {"names": []}, "more images than the 0 names"),
        ([np.zeros((2, 2), np.uint8)], [1], {"names": ["a", "b"]}, "there are 1 images, but 2 names"),
        ([np.zeros((2, 2), np.uint8)], [1], {"names": ["a" * 600]}, "longer than LMDB's keys"),
        ([np.zeros((2, 2), np.int64)], [1], {}, "image 0: .*int64"),
        ([np.zeros(2, np.uint8)], [1], {}, "image 0: "),
        ([np.zeros((0, 2), np.uint8)], [1], {}, "image 0: "),
        ([np.zeros((2, 2), np.uint8)], [2**31], {}, "32 bits"),
        ([np.zeros((2, 4, 4), np.uint8)], [1], {"encoded": "png"}, "cannot be encoded"),
        ([np.zeros((1, 4, 4), np.float32)], [1], {"encoded": "png"}, "cannot be encoded"),
    ],
)
def test_what_cannot_be_stored_leaves_nothing(
    tmp_path: Path, images: list[np.ndarray], labels: list[int], extra: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write_lmdb(tmp_path / "db", images, labels, **extra)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def test_an_unknown_format_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown image format 'xyz'"):
        write_lmdb(tmp_path / "db", [np.zeros((1, 4, 4), np.uint8)], [1], encoded="xyz")
    assert os.listdir(tmp_path) == []


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        write_lmdb(tmp_path / "db", [np.zeros((2, 2), np.uint8)], [1])
    assert (tmp_path / "db").read_text() == "mine"


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        write_lmdb(tmp_path / "file" / "db", [np.zeros((2, 2), np.uint8)], [1])


def test_being_interrupted_leaves_nothing(tmp_path: Path) -> None:
    def images() -> object:
        yield np.zeros((2, 2), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_lmdb(tmp_path / "db", images(), [1, 2])  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []
