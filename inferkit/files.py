"""Files: written whole or not at all, read in the encoding that they state, and a name in one leads nowhere else.

Written are a temporary file in the same folder, fsync, rename. What is no regular file (a device, a pipe) is written
through instead, and of a symbolic link the file that it names is replaced.
"""

from __future__ import annotations

import codecs
import contextlib
import glob
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from inferkit.errors import UsageError


def inside(folder: str | os.PathLike[str], name: str) -> Path | None:
    """The path that `name`, read in a file, has below `folder`; None where it leads out of it, by `..` or a link too.

    ValueError where it can be the name of no file (a zero byte).
    """
    root = os.path.realpath(folder)
    path = os.path.realpath(os.path.join(root, name))
    return Path(path) if os.path.commonpath([path, root]) == root else None


def resolved(folder: str | os.PathLike[str], name: str) -> Path:
    """The absolute path that `name`, read in a file in `folder`, means; `~` begins with a home folder.

    UsageError where it can be the path of nothing: a zero byte in it, the home of nobody, links in a circle.
    """
    try:
        return (Path(folder) / Path(name).expanduser()).resolve()
    except (ValueError, RuntimeError, OSError) as error:
        raise UsageError(f"{name!r} cannot be a path: {error}; write one that exists") from error


def info_path(path: str | os.PathLike[str]) -> Path:
    """Where the metadata of the engine at `path` lies: `engine.plan.json` for `engine.plan`."""
    return Path(f"{os.fspath(path)}.json")


def is_engine_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an engine: its metadata lie beside it, and its name is not that of a network."""
    file = Path(path)
    return file.is_file() and info_path(file).exists() and file.suffix.lower() not in (".onnx", ".prototxt")


def write_atomically(path: str | os.PathLike[str], content: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `content`; a reader sees the old file or the new one, never a part. Folders are made.

    A run that is killed leaves at most a hidden temporary file, never a damaged `path`. Without `durable` nothing waits
    for the disk: for what another process reads at once and nobody after the machine went down. Raises OSError.
    """
    with replacing(path, durable=durable) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[BinaryIO]:
    """As `write_atomically` for content that comes in pieces: a binary file that takes `path`'s place at the end.

    Where the block raises, `path` stays as it was. A device or a pipe gets the content as it comes.
    """
    if is_special(path):
        with open(path, "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None and error.errno is not None:
            error.filename = str(path)  # writing to a full disk: the system does not say which file
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:
        sync_folder(target.parent)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` and of files named after it left; for who holds the lock that they held."""
    for left in path.parent.glob(f".{glob.escape(path.name)}*.tmp"):
        with contextlib.suppress(OSError):
            left.unlink()


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether `path`, or what it links to, is there and is neither a regular file nor a folder: a device, a pipe.

    OSError where that cannot be seen, such as a link that leads to itself.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_writable(path: str | os.PathLike[str]) -> bool:
    """Whether `write_atomically` may write there, as far as permissions tell; nothing is made."""
    try:
        if is_special(path):
            return os.access(path, os.W_OK)
    except OSError:
        return False
    target = Path(os.path.realpath(path))
    if target.is_dir():
        return False
    existing = next(parent for parent in target.parents if parent.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)


def _mode(target: Path) -> int:
    """The mode that the file has, else what the process's umask gives a new one (mkstemp makes it private)."""
    try:
        return target.stat().st_mode & 0o777
    except OSError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the platform can open a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# The longer ones first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decoded(content: bytes) -> str:
    """Text as editors and shells on Windows write it too: in UTF-8, or in what its byte order mark says.

    UnicodeDecodeError where it is not.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8-sig")
    return content.decode(encoding)
