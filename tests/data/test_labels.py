"""Label files name one class per line; anything that would shift or garble them is an error that names the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.data import read_labels
from inferkit.data.fashion_mnist import LABELS, labels_file
from inferkit.errors import DataError

NAMES = st.lists(
    st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1).map(str.strip).filter(bool), min_size=1
)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "labels.txt"
    path.write_bytes(content)
    return path


@given(NAMES, st.sampled_from(["\n", "\r\n"]), st.integers(0, 3), st.booleans())
def test_names_come_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], end: str, empty: int, mark: bool
) -> None:
    content = ("\ufeff" if mark else "") + end.join(names) + end * empty
    path = write(tmp_path_factory.getbasetemp(), content.encode())
    numbered = all(name[0] == "n" and name[1:9].isdigit() for name in names)
    if not numbered:
        assert read_labels(path) == tuple(names)


def test_wordnet_numbers_are_left_out(tmp_path: Path) -> None:
    content = b"n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\nn01484850\n"
    expected = ("tench, Tinca tinca", "goldfish, Carassius auratus", "n01484850")
    assert read_labels(write(tmp_path, content)) == expected


def test_a_number_before_some_names_only_belongs_to_them(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, b"n01440764 tench\nother\n")) == ("n01440764 tench", "other")


def test_other_encodings_when_named(tmp_path: Path) -> None:
    path = write(tmp_path, "Käse\nBrot\n".encode("latin-1"))
    assert read_labels(path, encoding="latin-1") == ("Käse", "Brot")
    with pytest.raises(DataError, match="line 1: is not in utf-8"):
        read_labels(path)
    with pytest.raises(DataError, match="unknown encoding 'klingon'"):
        read_labels(path, encoding="klingon")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n \n", "is empty"),
        (b"a\n\nb\n", "line 2: is empty"),
        (b"\na\n", "line 1: is empty"),
        (b"a\nb\xff\n", "line 2: is not in utf-8"),
        (b"a\0b\n", "zero bytes"),
    ],
)
def test_what_is_no_label_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_labels(tmp_path / "none")
    with pytest.raises(DataError, match="is not a regular file"):
        read_labels(tmp_path)


def test_the_embedded_datasets_names() -> None:
    assert read_labels(labels_file()) == LABELS
