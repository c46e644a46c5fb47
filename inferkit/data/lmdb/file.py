"""Reads LMDB files by their published layout, as untrusted input: damage is a DataError, never a crashed process.

The LMDB library maps the file into memory and follows any offset in it: a truncated or damaged file ends the process
(SIGBUS, SIGSEGV). Here every page number, offset and size is checked against the file, and bytes are read by pread, so
that a failing disk, or a file that another process truncates meanwhile, is an error too. Nothing is written beside the
file, threads share one reader, and memory does not grow with the file.

Layout (LMDB 0.9, 64-bit, little-endian; lmdb.h and mdb.c of OpenLDAP): pages of one size; pages 0 and 1 are meta pages,
of which the one with the higher transaction number counts; a B+ tree of branch and leaf pages; values that do not fit
into a leaf lie in runs of overflow pages.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from inferkit.data.memory import Scratch
from inferkit.errors import DataError

_META = struct.Struct("<IIQQ IHHQQQQQ IHHQQQQQ QQ")
_PAGE = struct.Struct("<QHHHH")  # number, padding, flags, end of the node offsets, start of the nodes
_NODE = struct.Struct("<HHHH")  # low and high half of a size or page number, flags or its top, size of the key
_MAGIC, _VERSION, _NO_PAGE = 0xBEEFC0DE, 1, 2**64 - 1
_BRANCH, _LEAF, _OVERFLOW, _META_PAGE, _LEAF2 = 0x01, 0x02, 0x04, 0x08, 0x20
_BIG_VALUE = 0x01
_SMALLEST_NODE = _NODE.size + 2  # bytes in a page: the node, and its offset
_DEEPEST = 32  # levels of a tree, LMDB's own limit


class LmdbEntry(NamedTuple):
    """Where a value is: its key, its offset in the file and size in bytes, and its overflow page (0: in a leaf)."""

    key: bytes
    offset: int
    size: int
    page: int


@dataclass(frozen=True)
class Snapshot:
    """The state of the file at one committed transaction. Pages are numbered from 0; sizes are in bytes."""

    transaction: int
    page_size: int
    last_page: int
    file_size: int
    root: int
    depth: int
    entries: int
    tree_pages: int


class LmdbFile:
    """A read-only LMDB: `path` is its folder, or its data file. Safe to share between threads.

    DataError where it is missing, not readable, not an LMDB, of another version, truncated or damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._descriptor = -1
        self._descriptor = _open(data_file(self.path))
        self.snapshot = self._newest()
        self._check_length()

    def entries(self, start: int = 0) -> Iterator[LmdbEntry]:
        """All entries from the `start`-th on, in the order of their keys. DataError where the file is damaged."""
        snapshot = self.snapshot
        index = visited = 0
        previous: bytes | None = None
        pending = [(snapshot.root, 1)] if snapshot.entries else []
        while pending:
            number, level = pending.pop()
            visited += 1
            if visited > snapshot.tree_pages:
                raise self._damaged(f"has more pages in its tree than the {snapshot.tree_pages} that it declares")
            page, offsets = self._tree_page(number, level)
            if level < snapshot.depth:
                pending.extend((self._child(page, offset, number), level + 1) for offset in reversed(offsets))
                continue
            skipped = index + len(offsets) <= start
            index += len(offsets) - 1 if skipped else 0
            # The order is what ends a walk in circles: also where pages are skipped, their first key is looked at.
            for offset in offsets[:1] if skipped else offsets:
                entry = self._entry(page, offset, number)
                if previous is not None and entry.key <= previous:
                    raise self._damaged(f"has keys out of order on page {number}, at {spelled(entry.key)}")
                previous = entry.key
                index += 1
                if index > snapshot.entries:
                    raise self._damaged(f"has more entries than the {snapshot.entries} that it declares")
                if index > start:
                    yield entry
        if index != snapshot.entries:
            raise self._damaged(f"has {index} entries, but declares {snapshot.entries}")

    def read(self, entry: LmdbEntry, scratch: Scratch) -> memoryview:
        """The value of `entry`, in the memory of `scratch`: valid until that is used again."""
        if not entry.page:
            return self._pread(entry.offset, entry.size, scratch)
        page = self._pread(entry.offset - _PAGE.size, entry.size + _PAGE.size, scratch)
        number, _, flags, *_ = _PAGE.unpack_from(page)
        if number != entry.page or not flags & _OVERFLOW:
            raise self._damaged(f"has no value of {spelled(entry.key)} on page {entry.page}")
        return page[_PAGE.size :]

    def read_part(self, entry: LmdbEntry, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of the value of `entry`, which must lie inside it."""
        return bytes(self._pread(entry.offset + start, stop - start, Scratch()))

    def check_unchanged(self) -> None:
        """DataError where what was read since the snapshot may be mixed up, because another process wrote meanwhile.

        A writer never overwrites what the snapshot refers to before it has committed two transactions after it: pages
        that one transaction frees are used again by the second after it.
        """
        if self._newest().transaction > self.snapshot.transaction + 1:
            raise DataError(
                f"{self.path}: another process has written to this LMDB since it was opened, and may have reused pages "
                "that are still to be read; open it again when the writer is done"
            )

    def __reduce__(self) -> tuple[type[LmdbFile], tuple[Path]]:
        return type(self), (self.path,)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()

    def _check_length(self) -> None:
        """DataError where the file has fewer pages than its last transaction says, or a part of one."""
        size, page_size = self.snapshot.file_size, self.snapshot.page_size
        full_size = (self.snapshot.last_page + 1) * page_size
        if size >= full_size:
            return
        # Rarely a good file has fewer pages: those that were given back in the transaction that made them are not
        # written. Then nothing refers to what is missing, which a walk through the whole tree tells.
        try:
            if size % page_size:
                raise self._damaged(f"ends within page {size // page_size}")
            for _ in self.entries():
                pass
        except DataError as error:
            raise self._damaged(
                f"is truncated: it has {size} of {full_size} bytes (if another process is writing to it, open it again "
                "when the writer is done)"
            ) from error

    def _newest(self) -> Snapshot:
        size = os.fstat(self._descriptor).st_size
        first, page_size = self._meta(0, size)
        second, _ = self._meta(page_size, size)
        fields = max(first, second, key=lambda meta: meta[-1])
        *_, main_pad, flags, depth, branches, leaves, _, entries, root, last_page, transaction = fields
        if main_pad or flags:
            raise self._damaged("has integer, reversed or duplicate keys, so it is not a Caffe database")
        pages = branches + leaves
        if entries and (not 1 <= depth <= _DEEPEST or root == _NO_PAGE or pages * page_size > size):
            raise self._damaged("declares entries, but has no tree")
        if entries > leaves * (page_size // _SMALLEST_NODE):
            raise self._damaged(f"declares {entries} entries, more than {leaves} leaf pages can hold")
        return Snapshot(transaction, page_size, last_page, size, root, depth, entries, pages)

    def _meta(self, offset: int, size: int) -> tuple[tuple[int, ...], int]:
        """The fields of the meta page at `offset`, and the page size. Read until two readings agree."""
        needed = _PAGE.size + _META.size
        if size < offset + needed:
            raise self._damaged(f"is not an LMDB, or truncated: it has only {size} bytes")
        content = bytes(self._pread(offset, needed, Scratch()))
        while content != (again := bytes(self._pread(offset, needed, Scratch()))):
            content = again
        _, _, flags, *_ = _PAGE.unpack_from(content)
        fields = _META.unpack_from(content, _PAGE.size)
        magic, version, page_size = fields[0], fields[1], fields[4]
        if magic != _MAGIC or not flags & _META_PAGE:
            raise self._damaged("is not an LMDB of a 64-bit little-endian machine")
        if version != _VERSION:
            raise self._damaged(f"is an LMDB of format {version}; only format {_VERSION} is supported")
        if page_size not in (1 << shift for shift in range(8, 16)):
            raise self._damaged(f"declares pages of {page_size} bytes")
        return fields, page_size

    def _tree_page(self, number: int, level: int) -> tuple[memoryview, tuple[int, ...]]:
        """A branch or leaf page, and the offsets of its nodes, all of which lie inside it."""
        size = self.snapshot.page_size
        if not 2 <= number <= self.snapshot.last_page:
            raise self._damaged(f"refers to page {number} of {self.snapshot.last_page + 1}")
        if (number + 1) * size > self.snapshot.file_size:
            raise self._damaged(f"is truncated: page {number} is beyond its end")
        page = self._pread(number * size, size, Scratch())
        own_number, _, flags, lower, upper = _PAGE.unpack_from(page)
        expected = _LEAF if level == self.snapshot.depth else _BRANCH
        if own_number != number or flags & (_BRANCH | _LEAF | _OVERFLOW | _META_PAGE | _LEAF2) != expected:
            raise self._damaged(f"has no {'leaf' if expected == _LEAF else 'branch'} page as page {number}")
        if not _PAGE.size < lower <= upper <= size or lower % 2:
            raise self._damaged(f"has a page {number} whose parts overlap")
        offsets = struct.unpack_from(f"<{(lower - _PAGE.size) // 2}H", page, _PAGE.size)
        if min(offsets) < lower or max(offsets) + _NODE.size > size:
            raise self._damaged(f"has nodes outside of page {number}")
        return page, offsets

    def _child(self, page: memoryview, offset: int, number: int) -> int:
        low, high, top, _ = _NODE.unpack_from(page, offset)
        child: int = low | high << 16 | top << 32
        if child == number:
            raise self._damaged(f"has a page {number} that refers to itself")
        return child

    def _entry(self, page: memoryview, offset: int, number: int) -> LmdbEntry:
        low, high, flags, key_size = _NODE.unpack_from(page, offset)
        size = low | high << 16
        key_at = offset + _NODE.size
        value_at = key_at + key_size
        if flags & ~_BIG_VALUE:
            raise self._damaged("holds several databases or several values per key, so it is not a Caffe database")
        if flags & _BIG_VALUE:
            if value_at + 8 > len(page):
                raise self._damaged(f"has nodes outside of page {number}")
            (overflow,) = struct.unpack_from("<Q", page, value_at)
            begin = overflow * len(page) + _PAGE.size
            if not 2 <= overflow <= self.snapshot.last_page or begin + size > self.snapshot.file_size:
                raise self._damaged(f"has a value of {size} bytes on page {overflow}, which is beyond its end")
            return LmdbEntry(bytes(page[key_at:value_at]), begin, size, overflow)
        if value_at + size > len(page):
            raise self._damaged(f"has a value of {size} bytes that is not inside of page {number}")
        return LmdbEntry(bytes(page[key_at:value_at]), number * len(page) + value_at, size, 0)

    def _pread(self, offset: int, size: int, scratch: Scratch) -> memoryview:
        view = scratch.view(size)
        done = 0
        while done < size:
            try:
                count = os.preadv(self._descriptor, [view[done:]], offset + done)
            except OSError as error:
                raise DataError(f"{self.path}: cannot be read: {error.strerror or error}") from error
            if count == 0:
                raise self._damaged(f"is truncated: it ends at byte {offset + done}")
            done += count
        return view

    def _damaged(self, what: str) -> DataError:
        return DataError(f"{self.path}: {what}")


def data_file(path: Path) -> Path:
    """The file that holds the LMDB named by `path`, a folder or the file itself. DataError where there is none."""
    # os.path, which takes a file that may not be looked at as absent: opening it tells why.
    if not os.path.isdir(path):
        return path
    inside = path / "data.mdb"
    if os.path.exists(inside):
        return inside
    if os.path.exists(path / "CURRENT"):
        raise DataError(
            f"{path}: is a LevelDB, not an LMDB; convert the images again with `convert_imageset --backend=lmdb`"
        )
    raise DataError(f"{path}: this folder holds no LMDB: it has no data.mdb")


def spelled(key: bytes) -> str:
    """A key for messages and results: UTF-8, bytes that are none as \\xNN."""
    return key.decode("utf-8", errors="backslashreplace")


def _open(file: Path) -> int:
    try:
        # O_NONBLOCK: a named pipe must not hold up the opening; it means nothing for files.
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise DataError(f"{file}: cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(f"{file}: is not a regular file")
    return descriptor
