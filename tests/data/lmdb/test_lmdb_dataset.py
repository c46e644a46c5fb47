"""LMDBs written by real convert_imageset are read as real Caffe reads them; errors name the damaged entry."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pytest

from inferkit.data import LmdbDataset, Preprocessing, preprocessing_of, write_lmdb
from inferkit.data.lmdb.datum import serialize_datum
from inferkit.errors import DataError
from inferkit.network.caffe.files.schema import TransformationParameter
from inferkit.wire import varint
from tests.data.caffe_files import picture
from tests.data.make_fixtures import DATABASES, SIZES

FIXTURES = Path(__file__).parents[1] / "fixtures"
READ_BY_CAFFE = np.load(FIXTURES / "read_by_caffe.npz")


def transform_of(name: str) -> Preprocessing:
    """The fixture's transform_param, taken as a data layer's."""
    from google.protobuf import text_format

    text = DATABASES[name][1].replace("MEAN", f"{name}_mean.binaryproto")
    return preprocessing_of(text_format.Parse(text, TransformationParameter()), FIXTURES)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", list(DATABASES))
def test_batches_are_those_of_caffes_data_layer(name: str, threads: int) -> None:
    with LmdbDataset(FIXTURES / f"{name}.mdb") as dataset:
        batches = list(dataset.batches(3, preprocessing=transform_of(name), threads=threads))
        np.testing.assert_array_equal(np.concatenate([b.images for b in batches]), READ_BY_CAFFE[f"{name}_data"])
        np.testing.assert_array_equal(dataset.labels, READ_BY_CAFFE[f"{name}_label"].ravel())
        assert [key for batch in batches for key in batch.keys] == [
            f"{index:08d}_picture {index}.png" for index in range(len(SIZES))
        ]


@pytest.mark.parametrize("name", list(DATABASES))
def test_some_images_are_the_same_as_among_all(name: str) -> None:
    with LmdbDataset(FIXTURES / f"{name}.mdb") as dataset:
        (batch,) = dataset.batches(9, preprocessing=transform_of(name), start=1, limit=2, spread=True)
        np.testing.assert_array_equal(batch.images, READ_BY_CAFFE[f"{name}_data"][[1, -1]])
        assert [key.partition("_")[0] for key in batch.keys] == ["00000001", f"{len(SIZES) - 1:08d}"]


def test_the_shape_is_the_first_images() -> None:
    assert LmdbDataset(FIXTURES / "raw.mdb").shape == (3, 32, 29)
    assert LmdbDataset(FIXTURES / "gray.mdb").shape == (1, 24, 25)
    assert LmdbDataset(FIXTURES / "jpg.mdb").shape == (3, *SIZES[0])


def test_a_dataset_can_be_sent_to_another_process() -> None:
    with LmdbDataset(FIXTURES / "gray.mdb", max_pixels=600) as dataset:
        copy = pickle.loads(pickle.dumps(dataset))
        assert (copy.source, copy.max_pixels, len(copy)) == (dataset.source, 600, 4)


def test_raw_images_over_the_limit_are_refused() -> None:
    with (
        LmdbDataset(FIXTURES / "raw.mdb", max_pixels=900) as dataset,
        pytest.raises(DataError, match=r"00000000_picture 0\.png.*max_pixels=900"),
    ):
        dataset.batches(1)


def put(folder: Path, *values: bytes) -> Path:
    """An LMDB of these values, whatever they are."""
    with lmdb.open(str(folder), map_size=1 << 26) as environment, environment.begin(write=True) as transaction:
        for index, value in enumerate(values):
            transaction.put(b"%08d_x" % index, value)
    return folder


GOOD = serialize_datum(np.zeros((3, 8, 8), np.uint8), 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "0 × 0 × 0"),
        (b"no datum", "message"),
        (GOOD[:-9], "truncated"),
        (GOOD[:2] + b"\x10" + varint(-8) + GOOD[4:], "3 × -8 × 8"),
        (GOOD[:2] + b"\x10\x09" + GOOD[4:], "216 bytes, but holds 192"),
        (b"\x22\x03abc\x38\x01", "not a JPEG"),
        (b"\x38\x01", "not a JPEG"),
        (serialize_datum(np.zeros((3, 9, 8), np.uint8), 1), r"becomes \(3, 9, 8\)"),
        (serialize_datum(np.zeros((1, 8, 8), np.uint8), 1), r"becomes \(1, 8, 8\)"),
        (b"\xff\xfe\x00", "message"),
    ],
)
def test_a_bad_entry_among_good_ones_is_named_by_its_key(tmp_path: Path, value: bytes, message: str) -> None:
    with LmdbDataset(put(tmp_path / "db", GOOD, value, GOOD)) as dataset:
        batches = dataset.batches(1)
        assert next(batches).count == 1
        with pytest.raises(DataError, match=f"entry '00000001_x': .*{message}") as caught:
            next(batches)
        assert str(tmp_path / "db") in str(caught.value)


def test_a_first_entry_that_is_no_datum_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="entry '00000000_x'"):
        LmdbDataset(put(tmp_path / "db", b"no datum"))


def test_a_bad_label_is_named_by_its_key(tmp_path: Path) -> None:
    large = serialize_datum(np.zeros((3, 60, 60), np.uint8), 5)
    with LmdbDataset(put(tmp_path / "good", GOOD, large)) as dataset:
        assert dataset.labels.tolist() == [1, 5]
        assert not dataset.labels.flags.writeable
    with (
        LmdbDataset(put(tmp_path / "bad", GOOD, large[:-9])) as dataset,
        pytest.raises(DataError, match="entry '00000001_x'"),
    ):
        _ = dataset.labels


def test_floats_are_images_too(tmp_path: Path) -> None:
    image = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)
    with LmdbDataset(put(tmp_path / "db", serialize_datum(image, 3))) as dataset:
        batch = next(dataset.batches(1, preprocessing=Preprocessing(crop=3, scale=0.5)))
        np.testing.assert_array_equal(batch.images[0], image[:, 1:4, 1:4] * np.float32(0.5))
        with pytest.raises(DataError, match="uint8 cannot hold"):
            list(dataset.batches(1, dtype="uint8"))


def test_encoded_images_of_any_size_become_one_by_resizing_or_cropping(tmp_path: Path) -> None:
    sizes = [(20, 30), (44, 21), (33, 33)]
    images = [picture(index, *size).transpose(2, 0, 1) for index, size in enumerate(sizes)]
    write_lmdb(tmp_path / "db", images, range(3), encoded="png")
    with LmdbDataset(tmp_path / "db") as dataset:
        for preprocessing in (Preprocessing(crop=20), Preprocessing(resize=(24, 25)), Preprocessing(resize=(24, 25))):
            batch = next(dataset.batches(3, preprocessing=preprocessing))
            expected = [preprocessing(image, "CHW") for image in images]
            np.testing.assert_array_equal(batch.images, np.stack(expected))


def test_gray_among_colour_needs_a_decision(tmp_path: Path) -> None:
    images = [picture(0, 9, 9).transpose(2, 0, 1), picture(1, 9, 9, 1)]
    write_lmdb(tmp_path / "db", images, range(2), encoded="png")
    with LmdbDataset(tmp_path / "db") as dataset:
        with pytest.raises(DataError, match=r"entry '00000001_1': .* images need `color`"):
            list(dataset.batches(2))
        for color, channels in ((True, 3), (False, 1)):
            batch = next(dataset.batches(2, preprocessing=Preprocessing(color=color)))
            assert batch.images.shape == (2, channels, 9, 9)


def test_raw_images_cannot_be_decoded_to_other_channels(tmp_path: Path) -> None:
    with LmdbDataset(put(tmp_path / "db", GOOD)) as dataset:
        assert next(dataset.batches(1, preprocessing=Preprocessing(color=True))).count == 1
        with pytest.raises(DataError, match="not encoded and has 3 channels"):
            dataset.batches(1, preprocessing=Preprocessing(color=False))


def test_an_empty_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no entries"):
        LmdbDataset(put(tmp_path / "db"))


WRITER = """
import sys, lmdb, numpy as np
from inferkit.data.lmdb.datum import serialize_datum
environment = lmdb.open(sys.argv[1], map_size=1 << 30, sync=False)
for number in range(int(sys.argv[2])):
    with environment.begin(write=True) as transaction:
        for index in range(20):
            key = number * 20 + index
            image = np.full((3, 32, 32), key % 251, np.uint8)
            transaction.put(b"%08d_x" % key, serialize_datum(image, key))
    print(number, flush=True)
"""


def test_a_database_that_another_process_is_writing_gives_whole_images_or_says_so(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "db"), "50"], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    refusals = 0
    for line in writer.stdout:  # one look after each transaction, while the writer goes on
        seen = []
        try:
            with LmdbDataset(tmp_path / "db") as dataset:
                expected = len(dataset)
                for batch in dataset.batches(7, dtype="uint8"):
                    assert (batch.images == (batch.labels % 251).reshape(-1, 1, 1, 1)).all()
                    seen += batch.labels.tolist()
        except DataError as error:
            assert "another process has written" in str(error)  # noqa: PT017
            refusals += 1
        else:
            assert len(seen) == expected >= 20 * (int(line) + 1)
        assert seen == list(range(len(seen)))
    assert writer.wait() == 0
    with LmdbDataset(tmp_path / "db") as dataset:
        assert dataset.labels.tolist() == list(range(1000))


@pytest.mark.parametrize("read", [lambda dataset: dataset.labels, lambda dataset: dataset.first(None)])
def test_pages_that_were_reused_meanwhile_are_no_damage_but_another_process_that_has_written(
    tmp_path: Path, read: Callable[[LmdbDataset], object]
) -> None:
    environment = lmdb.open(str(tmp_path / "db"), map_size=1 << 26, sync=False)

    def write(images: int, size: int) -> None:
        with environment.begin(write=True) as transaction:
            transaction.drop(environment.open_db(txn=transaction), delete=False)
            for index in range(images):
                image = np.zeros((3, size, size), np.uint8)
                transaction.put(b"%08d_x" % index, serialize_datum(image, index))

    write(200, 4)
    with LmdbDataset(tmp_path / "db") as dataset:
        for size in (40, 4, 60, 5, 33):
            write(200, size)
        with pytest.raises(DataError, match="another process has written"):
            read(dataset)


@pytest.mark.slow
def test_memory_stays_flat_on_a_large_database(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    some = random.integers(0, 256, (16, 3, 256, 256), np.uint8)
    write_lmdb(tmp_path / "db", (some[index % 16] for index in range(4000)), range(4000))  # 800 MB
    code = (
        "import sys, resource\n"
        "from inferkit.data import LmdbDataset, Preprocessing\n"
        "dataset = LmdbDataset(sys.argv[1])\n"
        "peaks = []\n"
        "for number, batch in enumerate(dataset.batches(50, preprocessing=Preprocessing(crop=224), threads=2)):\n"
        "    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "print(peaks[9], peaks[-1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "db"], capture_output=True, text=True, check=True)
    early, late = map(int, done.stdout.split())
    assert late - early < 4096  # kilobytes


def test_reading_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "raw.mdb", tmp_path / "data.mdb")
    (tmp_path / "data.mdb").chmod(0o444)
    modified = os.stat(tmp_path / "data.mdb").st_mtime_ns
    with LmdbDataset(tmp_path) as dataset:
        list(dataset.batches(2))
    assert os.listdir(tmp_path) == ["data.mdb"]
    assert os.stat(tmp_path / "data.mdb").st_mtime_ns == modified


def test_no_file_stays_open(tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for _ in range(min(limit, 3000) + 1):
        LmdbDataset(FIXTURES / "gray.mdb")  # dropped, not closed
