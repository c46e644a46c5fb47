"""Folders as bytes, for shipping them: prepared networks and engines, with nothing but plain files in them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile


def pack(folder: Path) -> bytes:
    """Every file of a folder, by its path within."""
    return _packed({str(path.relative_to(folder)): path for path in sorted(folder.rglob("*"))})


def pack_files(*paths: Path) -> bytes:
    """These files by their names; those that do not exist are left out."""
    return _packed({path.name: path for path in paths})


def unpack(content: bytes, folder: Path) -> None:
    """Write the files to `folder`; zipfile itself keeps names that lead out of it inside."""
    folder.mkdir(parents=True, exist_ok=True)
    with ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)


def _packed(named: Mapping[str, Path]) -> bytes:
    content = io.BytesIO()
    with ZipFile(content, "w", strict_timestamps=False) as archive:  # stored as they are: weights do not shrink
        for name, path in named.items():
            if path.is_file():
                archive.write(path, name)
    return content.getvalue()
