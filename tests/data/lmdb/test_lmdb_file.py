"""LMDB files are read as the LMDB library reads them; damage of any kind is a DataError, and nothing is left behind."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferkit.data.lmdb.file import LmdbFile, Scratch
from inferkit.errors import DataError

FIXTURES = Path(__file__).parents[1] / "fixtures"
KEYS = st.binary(min_size=1, max_size=60) | st.binary(min_size=400, max_size=511)
# Values inside of leaves, at the edge of what fits there, and on several overflow pages.
VALUES = st.binary(max_size=40) | st.integers(1900, 2100).map(bytes) | st.integers(4000, 13000).map(bytes)
STEPS = st.lists(st.dictionaries(KEYS, st.none() | VALUES, max_size=12), min_size=1, max_size=4)


@contextmanager
def database(**settings_: object) -> Iterator[lmdb.Environment]:
    with tempfile.TemporaryDirectory() as folder:
        environment = lmdb.open(folder, map_size=1 << 26, sync=False, **settings_)
        try:
            yield environment
        finally:
            environment.close()


def write(environment: lmdb.Environment, items: dict[bytes, bytes | None]) -> None:
    with environment.begin(write=True) as transaction:
        for key, value in items.items():
            if value is None:
                transaction.delete(key)
            else:
                transaction.put(key, value)


def library_reads(environment: lmdb.Environment) -> list[tuple[bytes, bytes]]:
    with environment.begin() as transaction:
        return list(transaction.cursor())


def we_read(file: LmdbFile, start: int = 0) -> list[tuple[bytes, bytes]]:
    scratch = Scratch()
    return [(entry.key, bytes(file.read(entry, scratch))) for entry in file.entries(start)]


@given(STEPS, st.integers(0, 20))
@settings(max_examples=60)
def test_entries_are_those_that_the_library_reads(steps: list[dict[bytes, bytes | None]], start: int) -> None:
    with database() as environment:
        for step in steps:
            write(environment, step)
            file = LmdbFile(environment.path())
            expected = library_reads(environment)
            assert we_read(file) == expected
            assert we_read(file, start) == expected[start:]
            assert file.snapshot.entries == len(expected)
            file.close()


def test_a_tree_of_three_levels_and_any_start() -> None:
    with database() as environment:
        write(environment, {b"%08d" % number + bytes(350): b"%d" % number for number in range(1200)})
        file = LmdbFile(environment.path())
        assert file.snapshot.depth >= 3
        expected = library_reads(environment)
        assert we_read(file) == expected
        for start in (1, 7, 600, 1199, 1200, 5000):
            assert we_read(file, start) == expected[start:]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9000)), max_size=60), st.sets(st.integers(0, 40)))
@settings(max_examples=40)
def test_pages_that_a_transaction_gave_back_itself_do_not_matter(
    puts: list[tuple[int, int]], deleted: set[int]
) -> None:
    with database() as environment:
        with environment.begin(write=True) as transaction:
            for number, size in puts:
                transaction.put(b"%d" % number, bytes(size))
            for number in deleted:
                transaction.delete(b"%d" % number)
        assert we_read(LmdbFile(environment.path())) == library_reads(environment)


def test_folder_and_file_are_the_same_and_nothing_is_written_beside_them(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "raw.mdb", tmp_path / "data.mdb")
    assert we_read(LmdbFile(tmp_path)) == we_read(LmdbFile(tmp_path / "data.mdb"))
    assert os.listdir(tmp_path) == ["data.mdb"]


def test_a_part_of_a_value_is_that_part() -> None:
    file = LmdbFile(FIXTURES / "raw.mdb")
    for entry in file.entries():
        value = bytes(file.read(entry, Scratch()))
        assert file.read_part(entry, 3, 99) == value[3:99]
        assert len(value) == entry.size


def test_a_reader_can_be_sent_to_another_process() -> None:
    file = LmdbFile(FIXTURES / "gray.mdb")
    assert we_read(pickle.loads(pickle.dumps(file))) == we_read(file)


def test_a_closed_reader_says_so() -> None:
    file = LmdbFile(FIXTURES / "gray.mdb")
    file.close()
    file.close()
    with pytest.raises(DataError, match="cannot be read"):
        we_read(file)


def test_an_empty_database_has_no_entries() -> None:
    with database() as environment:
        write(environment, {})
        file = LmdbFile(environment.path())
        assert we_read(file) == []
        assert file.snapshot.entries == 0


def test_what_one_later_transaction_frees_is_still_there_and_after_two_it_is_an_error() -> None:
    old = {b"%04d" % number: os.urandom(3000) for number in range(50)}
    with database() as environment:
        write(environment, old)
        file = LmdbFile(environment.path())
        expected = library_reads(environment)
        write(environment, {key: os.urandom(3000) for key in old})
        assert we_read(file) == expected
        file.check_unchanged()
        for _ in range(2):
            write(environment, {key: os.urandom(3000) for key in old})
        with pytest.raises(DataError, match="another process has written"):
            file.check_unchanged()
        assert we_read(LmdbFile(environment.path())) == library_reads(environment)


def test_a_writer_at_work_does_not_show_half_a_transaction() -> None:
    with database() as environment:
        write(environment, {b"a": bytes(5000)})
        with environment.begin(write=True) as transaction:
            transaction.put(b"b", bytes(5000))
            assert [key for key, _ in we_read(LmdbFile(environment.path()))] == [b"a"]
        assert [key for key, _ in we_read(LmdbFile(environment.path()))] == [b"a", b"b"]


def test_databases_that_are_not_caffes_are_refused() -> None:
    with database(max_dbs=2) as environment:
        environment.open_db(b"named")
        with pytest.raises(DataError, match="several databases"):
            we_read(LmdbFile(environment.path()))


def test_a_database_with_other_kinds_of_keys_is_refused(tmp_path: Path) -> None:
    content = bytearray((FIXTURES / "gray.mdb").read_bytes())
    for page in (0, 1):
        struct.pack_into("<H", content, page * 4096 + 92, 0x04)  # duplicate keys, in the main database's flags
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(DataError, match="not a Caffe database"):
        LmdbFile(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "has no data.mdb"),
        (lambda path: (path.mkdir(), (path / "CURRENT").touch()), "LevelDB"),
        (lambda path: (path.mkdir(), (path / "data.mdb").mkdir()), "is not a regular file"),
        (lambda path: os.mkfifo(path), "is not a regular file"),
        (lambda path: path.touch(), "only 0 bytes"),
        (lambda path: path.write_bytes(b"x" * 9000), "is not an LMDB"),
        (lambda path: path.symlink_to(path), "cannot be opened"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
    ],
)
def test_what_is_no_lmdb_is_named(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "database"
    make(path)  # type: ignore[operator]
    with pytest.raises(DataError, match=message) as caught:
        LmdbFile(path)
    assert str(path) in str(caught.value)


def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.mdb"
    shutil.copy(FIXTURES / "gray.mdb", path)
    path.chmod(0)
    root = os.geteuid() == 0  # who may read everything
    if root:
        os.seteuid(65534)
    try:
        with pytest.raises(DataError, match="Permission denied"):
            LmdbFile(path)
    finally:
        if root:
            os.seteuid(0)


def test_a_file_of_another_format_version_is_named(tmp_path: Path) -> None:
    content = bytearray((FIXTURES / "gray.mdb").read_bytes())
    struct.pack_into("<I", content, 20, 2)
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(DataError, match="format 2"):
        LmdbFile(tmp_path)


@pytest.mark.parametrize("name", ["raw", "gray", "jpg"])
def test_a_file_cut_at_any_length_is_an_error_before_any_image_is_read(tmp_path: Path, name: str) -> None:
    content = (FIXTURES / f"{name}.mdb").read_bytes()
    path = tmp_path / "data.mdb"
    for length in [*range(0, len(content), 509), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            LmdbFile(path)


def test_a_file_that_is_cut_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "data.mdb"
    shutil.copy(FIXTURES / "raw.mdb", path)
    file = LmdbFile(path)
    entries = list(file.entries())
    os.truncate(path, 3 * 4096)
    with pytest.raises(DataError, match="truncated"):
        file.read(entries[-1], Scratch())


BASES = {name: (FIXTURES / f"{name}.mdb").read_bytes() for name in ("raw", "gray", "jpg", "png")}
_MADE: list[bytes] = []


def made_by_library() -> bytes:
    """A database with branch pages and overflow pages."""
    if not _MADE:
        with database() as environment:
            write(environment, {b"%05d" % number + bytes(200): bytes(number * 7 % 5000) for number in range(120)})
            _MADE.append((Path(environment.path()) / "data.mdb").read_bytes())
    return _MADE[0]


@given(st.sampled_from([*BASES, "made"]), st.data())
@settings(max_examples=400)
def test_any_damage_ends_in_a_data_error_or_in_bytes(name: str, data: st.DataObject) -> None:
    content = bytearray(made_by_library() if name == "made" else BASES[name])
    pages = len(content) // 4096
    for _ in range(data.draw(st.integers(1, 4))):
        # Structure is at the beginning of pages, and at their end, where the nodes are.
        page = data.draw(st.integers(0, pages - 1))
        where = data.draw(st.integers(0, 200) | st.integers(0, 4088))
        change = data.draw(
            st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 8, b"\0" * 8, struct.pack("<Q", page)])
        )
        content[page * 4096 + where : page * 4096 + where + len(change)] = change
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        with suppress(DataError):
            we_read(LmdbFile(file.name))
