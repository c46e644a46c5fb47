"""The content store: what is put comes back by its hash or not at all, from a folder and from real fsspec URLs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from inferkit.content_store import StoreError, chosen_store, key_of, located, open_store, sha256_of
from inferkit.errors import InferkitError, UsageError

CONTENT = b"weights " * 300_000  # more than one chunk
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["folder", "file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "store")
    pytest.importorskip("fsspec")
    return f"file://{tmp_path}/store" if request.param == "file" else f"memory://{uuid.uuid4().hex}/engines"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(CONTENT)
    return path


def overwrite(place: str, content: bytes) -> None:
    """Replace what the object's file holds."""
    if "://" not in place:
        Path(place, key_of(DIGEST)).write_bytes(content)
        return
    import fsspec

    with fsspec.open(f"{place}/{key_of(DIGEST)}", "wb") as target:
        target.write(content)


def test_a_file_comes_back_by_its_hash(place: str, file: Path, tmp_path: Path) -> None:
    assert not open_store(place).has(DIGEST)
    assert open_store(place).put(file) == DIGEST == sha256_of(file)
    assert open_store(place).has(DIGEST)
    open_store(place).get(DIGEST, tmp_path / "deep" / "copy.onnx")
    assert (tmp_path / "deep" / "copy.onnx").read_bytes() == CONTENT


def test_objects_lie_under_their_hash_and_nothing_else_does(place: str, file: Path) -> None:
    store = open_store(place)
    store.put(file)
    store.put(file)
    if "://" not in place:
        assert [path.relative_to(place) for path in Path(place).rglob("*") if path.is_file()] == [Path(key_of(DIGEST))]
        return
    import fsspec

    files, root = fsspec.core.url_to_fs(place)
    assert [name.removeprefix(root).strip("/") for name in files.find(root)] == [f"sha256/{DIGEST[:2]}/{DIGEST}"]


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"X", CONTENT[:1000], b""])
def test_a_damaged_object_is_named_and_not_used(place: str, file: Path, tmp_path: Path, content: bytes) -> None:
    store = open_store(place)
    store.put(file)
    overwrite(place, content)
    target = tmp_path / "copy.onnx"
    target.write_bytes(b"what was there")
    with pytest.raises(StoreError, match=f"{key_of(DIGEST)} is damaged.*delete it"):
        store.get(DIGEST, target)
    assert target.read_bytes() == b"what was there"
    assert [path.name for path in tmp_path.iterdir() if "copy.onnx" in path.name] == ["copy.onnx"]


def test_an_object_that_was_cut_is_written_again(place: str, file: Path, tmp_path: Path) -> None:
    store = open_store(place)
    store.put(file)
    overwrite(place, CONTENT[:1000])
    store.put(file)
    store.get(DIGEST, tmp_path / "copy.onnx")
    assert (tmp_path / "copy.onnx").read_bytes() == CONTENT


def test_a_missing_object_is_named_with_its_store(place: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"has no object {key_of(DIGEST)}.*promote") as raised:
        open_store(place).get(DIGEST, tmp_path / "copy.onnx")
    assert place in str(raised.value)
    assert not (tmp_path / "copy.onnx").exists()


def test_many_writers_of_one_object_leave_it_whole(place: str, file: Path, tmp_path: Path) -> None:
    store = open_store(place)
    errors: list[BaseException] = []

    def put() -> None:
        try:
            for _ in range(5):
                store.put(file)
        except BaseException as error:
            errors.append(error)

    writers = [threading.Thread(target=put) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not errors
    store.get(DIGEST, tmp_path / "copy.onnx")
    assert sha256_of(tmp_path / "copy.onnx") == DIGEST


def test_what_is_no_hash_reaches_no_file(place: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no SHA-256"):
        open_store(place).get("../../etc/passwd", tmp_path / "copy")


def test_a_file_that_is_not_there_is_an_error_with_its_name(place: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere\.onnx: cannot be read"):
        open_store(place).put(tmp_path / "nowhere.onnx")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_an_error_with_a_hint(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir(mode=0o500)
    with pytest.raises(StoreError, match=r"cannot be written: Permission denied.*INFERKIT_STORE"):
        open_store(str(folder)).put(file)


def test_a_store_that_is_a_file_is_an_error(file: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot be \w+: Not a directory"):
        open_store(str(file)).put(file)


def test_a_url_that_nothing_opens_is_an_error_that_names_it() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(StoreError, match="nosuch://bucket"):
        open_store("nosuch://bucket/prefix")


def test_without_fsspec_a_url_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["fsspec"] = None  # as where it is not installed
from inferkit.content_store import StoreError, open_store
try:
    open_store("s3://bucket/prefix")
except StoreError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'pytest-inferkit[store]'" in done.stdout


@pytest.mark.parametrize("place", ["a\0b", "~nobody-has-this-name/store", "s3://[bucket"])
def test_what_is_neither_a_url_nor_a_path_is_refused(place: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be"):
        located(place, tmp_path)


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/x", "abfs://box/x?sig=secret", "sftp://me:secret@host/x"])
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="credentials") as raised:
        located(url, tmp_path)
    assert "secret" not in str(raised.value)


def test_the_environment_names_the_store_before_the_matrix_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("INFERKIT_STORE", raising=False)
    assert chosen_store(None) is None
    declared = chosen_store(located("../engines", tmp_path / "bench"))
    assert declared is not None
    assert declared.place == str(tmp_path / "engines")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFERKIT_STORE", "elsewhere")
    chosen = chosen_store(declared.place)
    assert chosen is not None
    assert chosen.place == str(tmp_path / "elsewhere")


def test_its_errors_are_inferkits_own() -> None:
    assert issubclass(StoreError, InferkitError)
