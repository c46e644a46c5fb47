"""Label files: one class name per line, as in Caffe's synset_words.txt."""

from __future__ import annotations

import os
import re
from pathlib import Path

from inferkit.errors import DataError
from inferkit.files import decoded

MAX_BYTES = 1 << 24
_SYNSET = re.compile(r"n\d{8}(\s+|$)")  # a WordNet number before the words


def read_at_most(path: Path, most: int, kind: str) -> bytes:
    """The content of a small text file. DataError where it is missing, not a file, or larger than `most` bytes."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: {'is not a regular file' if path.exists() else 'does not exist'}")
        if path.stat().st_size > most:
            raise DataError(f"{path}: this {kind} is larger than {most} bytes")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_labels(path: str | os.PathLike[str], encoding: str = "utf-8") -> tuple[str, ...]:
    """The names of the classes: line i names label i. WordNet numbers (`n01440764 tench, …`) are left out.

    They are kept where a line has nothing else. A byte order mark, spaces around a name and empty lines at the end are
    dropped. DataError, naming the line, where the file is missing, not in `encoding`, or has an empty line before its
    end: then it is unclear which label the following names belong to.
    """
    path = Path(path)
    content = read_at_most(path, MAX_BYTES, "label file")
    try:
        text = decoded(content) if encoding == "utf-8" else content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: is not in {encoding}; save the file in {encoding}, or state its encoding"
        ) from error
    except LookupError as error:
        raise DataError(f"{path}: unknown encoding {encoding!r}") from error
    lines = [line.strip() for line in text.removeprefix("\ufeff").replace("\r\n", "\n").rstrip().split("\n")]
    if lines == [""]:
        raise DataError(f"{path}: this label file is empty")
    if "" in lines:
        raise DataError(f"{path}, line {lines.index('') + 1}: is empty; write one class name per line")
    if "\0" in text:
        raise DataError(f"{path}: this label file contains zero bytes, so it is not text")
    if all(_SYNSET.match(line) for line in lines):
        return tuple(_SYNSET.sub("", line, count=1) or line for line in lines)
    return tuple(lines)
