"""Lists and folders of image files are datasets; nothing outside of their folder is opened."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from inferkit.data import Preprocessing, open_dataset, read_folder, read_list
from inferkit.errors import DataError
from tests.data.caffe_files import picture, write_pictures

SIZES = [(20, 30), (25, 22), (40, 41)]


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures", SIZES)


def test_a_list_is_its_files_in_order_with_their_labels(listing: Path) -> None:
    dataset = read_list(listing)
    batches = list(dataset.batches(4, preprocessing=Preprocessing(crop=20), dtype="uint8"))
    names = [line.rpartition(" ")[0] for line in listing.read_text().splitlines()]
    assert [key for batch in batches for key in batch.keys] == names
    assert dataset.labels.tolist() == list(range(6))
    expected = [Preprocessing(crop=20)(cv2.imread(str(listing.parent / name)), dtype=np.uint8) for name in names]
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in batches]), expected)
    assert dataset.shape == (3, 20, 30)


def test_files_are_decoded_in_colour_unless_gray_is_asked_for(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "gray.png"), picture(0, 8, 9, 1))
    (tmp_path / "list.txt").write_text("gray.png 0\n")
    dataset = read_list(tmp_path / "list.txt")
    assert next(dataset.batches(1)).images.shape == (1, 3, 8, 9)
    assert next(dataset.batches(1, preprocessing=Preprocessing(color=False))).images.shape == (1, 1, 8, 9)


def test_lines_may_end_anyhow_and_be_empty(listing: Path) -> None:
    listing.write_bytes(b"picture 0.png 3\r\n\r\n/picture 1.png\t-7  \n\npicture 2.png 9")
    dataset = read_list(listing)
    assert dataset.labels.tolist() == [3, -7, 9]
    assert len(list(dataset.batches(1, preprocessing=Preprocessing(crop=20)))) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lists no images"),
        (b"a.png 1\nb.png\n", "line 2: .* is not a label"),
        (b"a.png one\n", "line 1: 'one' is not a label"),
        (b" 5\n", "line 1: .*is not a label|no path"),
        (b"a\xff.png 1\n", "line 1: is not UTF-8 text"),
    ],
)
def test_what_is_no_list_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_list(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("escape", ["parent", "link to a file", "link to a folder"])
def test_nothing_outside_of_the_folder_is_opened(tmp_path: Path, escape: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    cv2.imwrite(str(secret / "a.png"), picture(0, 8, 9))
    root = tmp_path / "root"
    root.mkdir()
    name = {"parent": "../secret/a.png", "link to a file": "link.png", "link to a folder": "inside/a.png"}[escape]
    (root / "link.png").symlink_to(secret / "a.png")
    (root / "inside").symlink_to(secret)
    (root / "list.txt").write_text(f"{name} 0\n")
    with pytest.raises(DataError, match="outside of"):
        list(read_list(root / "list.txt").batches(1))
    # The hint that the message tells.
    (tmp_path / "list.txt").write_text(f"root/{name} 0\n")
    assert next(read_list(tmp_path / "list.txt").batches(1)).count == 1


def test_a_name_that_no_file_can_have_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"a\0b.png 1\n")
    with pytest.raises(DataError, match="entry"):
        read_list(tmp_path / "list.txt").batches(1)


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0"])
def test_files_that_are_no_images_are_named(listing: Path, content: bytes) -> None:
    (listing.parent / "picture 1.png").write_bytes(content)
    with pytest.raises(DataError, match=r"list\.txt: entry 'picture 1\.png'"):
        list(read_list(listing).batches(1, preprocessing=Preprocessing(crop=5)))


def test_missing_files_and_things_that_are_no_files_are_named(listing: Path) -> None:
    os.unlink(listing.parent / "picture 0.png")
    with pytest.raises(DataError, match=r"entry 'picture 0\.png': .*No such file"):
        read_list(listing).batches(1)
    os.mkfifo(listing.parent / "picture 0.png")
    with pytest.raises(DataError, match="is not a regular file"):
        read_list(listing).batches(1)


def test_the_limit_holds_for_files_too(listing: Path) -> None:
    with pytest.raises(DataError, match="max_pixels=599"):
        read_list(listing, max_pixels=599).batches(1)


def test_a_folder_of_classes(tmp_path: Path) -> None:
    for name, count in (("b class", 2), ("a", 1), ("empty", 0)):
        (tmp_path / name).mkdir()
        for index in range(count):
            cv2.imwrite(str(tmp_path / name / f"{index}.PNG"), picture(index, 6, 7))
        (tmp_path / name / "notes.txt").write_text("not an image")
    dataset = open_dataset(tmp_path)
    assert [key for batch in dataset.batches(2) for key in batch.keys] == ["a/0.PNG", "b class/0.PNG", "b class/1.PNG"]
    assert dataset.labels.tolist() == [0, 1, 1]


def test_hidden_folders_and_files_are_no_classes_and_no_images(tmp_path: Path) -> None:
    for name in (".ipynb_checkpoints", "cat", "dog"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "0.png"), picture(0, 6, 7))
    (tmp_path / "dog" / "._0.png").write_bytes(b"what macOS leaves beside a file")
    dataset = open_dataset(tmp_path)
    assert [key for batch in dataset.batches(2) for key in batch.keys] == ["cat/0.png", "dog/0.png"]
    assert dataset.labels.tolist() == [0, 1]


def test_images_in_the_folder_itself_have_no_labels(tmp_path: Path) -> None:
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture(index, 6, 7))
    (tmp_path / "notes.txt").write_text("not an image")
    dataset = open_dataset(tmp_path)
    assert [key for batch in dataset.batches(2) for key in batch.keys] == ["0.png", "1.png", "2.png"]
    assert dataset.labels.tolist() == [-1, -1, -1]


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    with pytest.raises(DataError, match="nor a subfolder contains images"):
        read_folder(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_folder(tmp_path / "none")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_list_may_begin_with_a_byte_order_mark(tmp_path, encoding):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 5, 3), 9, np.uint8))
    (tmp_path / "list.txt").write_text("a.png 3\n", encoding=encoding)
    (batch,) = read_list(tmp_path / "list.txt").batches(1)
    assert list(batch.labels) == [3]
