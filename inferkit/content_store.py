"""The content store: files that are not in git, by SHA-256, in a folder or behind any URL that fsspec opens.

STORE/sha256/ab/abcd…                # the content, nothing else; written whole, checked by its hash whenever it is read

A folder needs no further package. Credentials come from where the library behind the URL looks for them (environment,
its own files): one in the URL is refused, as a matrix is committed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from inferkit.errors import InferkitError, UsageError
from inferkit.files import replacing, resolved

VARIABLE = "INFERKIT_STORE"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20
# Object stores show an upload only when it is complete; elsewhere an upload is renamed at its end.
_WHOLE_UPLOADS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "oss", "memory"})


class StoreError(InferkitError):
    """The content store cannot be reached or written to, or lacks an object, or holds one that is damaged."""


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content, in hexadecimal. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_sha256(text: object) -> bool:
    """Whether it is a SHA-256 as this store writes it: 64 hexadecimal digits in lower case."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


def located(value: str, folder: Path) -> str:
    """A store's place as written in a file in `folder`: a URL as it is, a path made absolute.

    UsageError for a URL with a secret, and for what is neither URL nor path.
    """
    if "://" not in value:
        return str(resolved(folder, value))
    try:
        parts = urlsplit(value)
    except ValueError as error:
        raise UsageError(f"the store's URL cannot be one: {error}") from error
    if parts.password is not None or parts.query:
        raise UsageError(
            f"the store's URL {parts.scheme}://… holds credentials; leave them out: {parts.scheme} finds them in the "
            "environment or in its own configuration files"
        )
    return value


def chosen_store(declared: str | None) -> ContentStore | None:
    """The store that $INFERKIT_STORE names, else `declared` (of the matrix, absolute); None without either."""
    named = os.environ.get(VARIABLE)
    place = located(named, Path.cwd()) if named else declared
    return None if place is None else open_store(place)


def open_store(place: str) -> ContentStore:
    """The store at an absolute path or URL; nothing is made or asked yet. StoreError where fsspec cannot open it."""
    return _UrlStore(place) if "://" in place else _FolderStore(place)


class ContentStore(ABC):
    """Files by SHA-256. Several processes and machines may write at once: equal names have equal content.

    Every method raises StoreError, with store and object, where the store cannot do what it is asked.
    """

    def __init__(self, place: str) -> None:
        self.place = place

    def has(self, digest: str) -> bool:
        """Whether there is such an object; whether it is whole, only `get` tells."""
        return self._size(digest) is not None

    def put(self, path: str | os.PathLike[str]) -> str:
        """Store a file; returns its SHA-256. An object that is there with this size is not written again."""
        try:
            size, digest = os.stat(path).st_size, sha256_of(path)
            if self._size(digest) == size:
                return digest
            self._upload(Path(path), digest)
            if sha256_of(path) != digest:
                self._remove(digest)
                raise StoreError(f"{path}: changed while it was stored; store it again when nothing writes to it")
            return digest
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error

    def get(self, digest: str, path: str | os.PathLike[str]) -> None:
        """Write the object to `path`, whole or not at all; never one whose content has another hash."""
        if not is_sha256(digest):
            raise StoreError(f"{digest!r} is no SHA-256: 64 hexadecimal digits in lower case")
        try:
            with replacing(path) as target:
                content = hashlib.sha256()
                with self._reading(digest) as source:
                    while chunk := source.read(_CHUNK):
                        content.update(chunk)
                        target.write(chunk)
                if content.hexdigest() != digest:
                    raise StoreError(
                        f"{self.place}: the object {key_of(digest)} is damaged (its content has the SHA-256 "
                        f"{content.hexdigest()[:12]}…) and is not used; delete it, and store the file again"
                    )
        except OSError as error:
            raise StoreError(f"{path}: cannot be fetched from {self.place}: {error.strerror or error}") from error

    @abstractmethod
    def _size(self, digest: str) -> int | None:
        """The object's size in bytes, None where there is none."""

    @abstractmethod
    def _upload(self, path: Path, digest: str) -> None:
        """Store a file under its hash, whole or not at all."""

    @abstractmethod
    def _remove(self, digest: str) -> None:
        """Take an object out of the store."""

    @abstractmethod
    def _reading(self, digest: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """The object as a file to read."""

    def _missing(self, digest: str) -> StoreError:
        return StoreError(
            f"{self.place}: has no object {key_of(digest)}; `inferkit baseline promote` stores what a baseline needs, "
            f"and {VARIABLE} names another store"
        )


def key_of(digest: str) -> str:
    """Where an object lies below the store."""
    return f"sha256/{digest[:2]}/{digest}"


class _FolderStore(ContentStore):
    """A folder, of this machine or mounted."""

    def _path(self, digest: str) -> Path:
        return Path(self.place, key_of(digest))

    def _size(self, digest: str) -> int | None:
        with self._explained(digest, "read"):
            try:
                return self._path(digest).stat().st_size
            except FileNotFoundError:
                return None

    def _upload(self, path: Path, digest: str) -> None:
        with self._explained(digest, "written"), open(path, "rb") as source, replacing(self._path(digest)) as target:
            shutil.copyfileobj(source, target, _CHUNK)

    def _remove(self, digest: str) -> None:
        with self._explained(digest, "removed"):
            self._path(digest).unlink()

    @contextlib.contextmanager
    def _reading(self, digest: str) -> Iterator[BinaryIO]:
        with self._explained(digest, "read"):
            file = self._path(digest).open("rb")
        with file:
            yield file

    @contextlib.contextmanager
    def _explained(self, digest: str, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError) and what == "read":
                raise self._missing(digest) from None
            raise StoreError(
                f"{self.place}: the object {key_of(digest)} cannot be {what}: {error.strerror or error}; make the "
                f"folder accessible, or name another store by {VARIABLE}"
            ) from error


class _UrlStore(ContentStore):
    """A URL of fsspec: s3://bucket/prefix, gs://…, sftp://…, file://…"""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        protocol = urlsplit(place).scheme
        try:
            import fsspec
        except ImportError:
            raise StoreError(
                f"{place}: a store with a URL needs fsspec; `pip install 'pytest-inferkit[store]'`, and the package "
                f"of {protocol}:// (s3fs, gcsfs, …), or name a folder"
            ) from None
        try:
            self._files, self._root = fsspec.core.url_to_fs(place)
        except ImportError as error:  # fsspec says which package
            raise StoreError(f"{place}: {error}") from error
        except Exception as error:
            raise StoreError(f"{place}: cannot be opened: {_said(error)}; is {protocol}:// what is meant?") from error

    def _path(self, digest: str) -> str:
        return f"{self._root.rstrip('/')}/{key_of(digest)}"

    def _size(self, digest: str) -> int | None:
        with self._explained(digest, "read"):
            try:
                info = self._files.info(self._path(digest))
            except FileNotFoundError:
                return None
            return int(info.get("size") or 0)

    def _upload(self, path: Path, digest: str) -> None:
        target = self._path(digest)
        protocols = self._files.protocol
        whole = not _WHOLE_UPLOADS.isdisjoint([protocols] if isinstance(protocols, str) else protocols)
        with self._explained(digest, "written"):
            if whole:
                self._files.put_file(str(path), target)
                return
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            temporary = f"{target}.{uuid.uuid4().hex}.tmp"
            try:
                self._files.put_file(str(path), temporary)
                self._files.mv(temporary, target)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._files.rm_file(temporary)
                raise

    def _remove(self, digest: str) -> None:
        with self._explained(digest, "removed"):
            self._files.rm_file(self._path(digest))

    @contextlib.contextmanager
    def _reading(self, digest: str) -> Iterator[Any]:
        with self._explained(digest, "read"):
            file = self._files.open(self._path(digest), "rb")
        with file:
            yield _Explaining(file, self, digest)

    @contextlib.contextmanager
    def _explained(self, digest: str, what: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        # What lies behind a URL raises whatever it likes: of botocore, aiohttp, paramiko.
        except Exception as error:
            if isinstance(error, FileNotFoundError) and what == "read":
                raise self._missing(digest) from None
            raise StoreError(
                f"{self.place}: the object {key_of(digest)} cannot be {what}: {_said(error)}; check that the store "
                "can be reached from here, and the credentials and rights in the environment"
            ) from error


class _Explaining:
    """A remote file whose reads raise StoreError: the connection may break at any of them."""

    def __init__(self, file: BinaryIO, store: _UrlStore, digest: str) -> None:
        self._file, self._store, self._digest = file, store, digest

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        with self._store._explained(self._digest, "read"):
            return self._file.read(size)


def _said(error: Exception) -> str:
    """What kind of error, and its first line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{': ' + lines[0] if lines else ''}"
