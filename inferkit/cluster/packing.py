"""Folders as bytes, for shipping them: prepared networks and engines, with nothing but plain files in them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path


def pack(folder: Path) -> bytes:
    """Every file of a folder, by its path within."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.add(path, arcname=str(path.relative_to(folder)), recursive=False)
    return content.getvalue()


def pack_files(*paths: Path) -> bytes:
    """These files by their names; those that do not exist are left out."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in paths:
            if path.is_file():
                archive.add(path, arcname=path.name, recursive=False)
    return content.getvalue()


def unpack(content: bytes, folder: Path) -> None:
    """Write the files to `folder`; names that lead out of it are refused by tarfile's own filter."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(folder, filter="data")
