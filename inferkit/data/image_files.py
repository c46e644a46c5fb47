"""Image files as datasets: a list of `path label` lines as convert_imageset reads it, or a folder per class."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inferkit.data.dataset import Dataset
from inferkit.data.labels import read_at_most
from inferkit.data.memory import Scratch
from inferkit.data.pixels.decode import check_bytes, decode_image, pixel_limit
from inferkit.data.stream import StoredImage
from inferkit.errors import DataError
from inferkit.files import decoded, inside

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
MAX_LIST_BYTES = 1 << 28


class Listed(NamedTuple):
    """One line of a list: the file's path below the root, and its label."""

    name: str
    label: int


class ImageFilesDataset(Dataset):
    """Image files below a folder `root`, in the order of `files`. Files outside of `root` are not opened: DataError.

    Files are decoded in colour unless a preprocessing says otherwise, as convert_imageset and ImageData do.
    """

    def __init__(
        self, root: str | os.PathLike[str], files: Sequence[Listed], *, source: str = "", max_pixels: int | None = None
    ) -> None:
        self.root = Path(root)
        self.source = source or os.fspath(root)
        self.max_pixels = pixel_limit(max_pixels)
        self._files = list(files)
        if not self._files:
            raise DataError(f"{self.source}: lists no images")
        self._shape: tuple[int, int, int] | None = None

    def __len__(self) -> int:
        return len(self._files)

    @property
    def shape(self) -> tuple[int, int, int]:
        if self._shape is None:
            height, width, channels = self.first(None).pixels.shape
            self._shape = (channels, height, width)
        return self._shape

    @property
    def labels(self) -> NDArray[np.int64]:
        labels = np.array([file.label for file in self._files], np.int64)
        labels.flags.writeable = False
        return labels

    def first(self, color: bool | None) -> StoredImage:
        try:
            return self.read(self._files[0], color, Scratch())
        except DataError as error:
            raise DataError(f"{self.source}: entry {self._files[0].name!r}: {error}") from error

    def entries(self, start: int) -> Iterator[Listed]:
        return iter(self._files[start:])

    def read(self, entry: Listed, color: bool | None, scratch: Scratch) -> StoredImage:
        image = decode_image(self._content(entry.name), color is not False, self.max_pixels)
        return StoredImage(image if image.ndim == 3 else image[:, :, np.newaxis], "HWC", entry.label)

    def key(self, entry: Listed) -> str:
        return entry.name

    def _content(self, name: str) -> bytes:
        try:
            path = inside(self.root, name.lstrip("/"))
            if path is None:
                raise DataError(f"the file is outside of {self.root}; set a root folder that contains all files")
            with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise DataError("it is not a regular file")
                check_bytes(status.st_size, self.max_pixels)
                return file.read(status.st_size)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"the file cannot be read: {reason}") from error


def read_list(
    path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None, *, max_pixels: int | None = None
) -> ImageFilesDataset:
    """The images of a list file: each line a path below `root` (default: the list's folder), a space, and the label.

    As in convert_imageset the line is split at its last space, so that names may have spaces, and a leading slash is
    below the root too. Unlike there, a label that is not a number is an error and not 0. Empty lines are skipped.
    DataError, naming the line, where the list is missing, damaged, or larger than 256 MiB.
    """
    path = Path(path)
    files = []
    for number, line in enumerate(io.StringIO(_text(path)), 1):
        if not line.strip():
            continue
        name, _, label = line.rstrip().replace("\t", " ").rpartition(" ")
        try:
            files.append(Listed(name.rstrip(), _label(label)))
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: {label[:40]!r} is not a label; write each line as `path label`"
            ) from error
        if not name.strip():
            raise DataError(f"{path}, line {number}: no path before the label {label}; write each line as `path label`")
    return ImageFilesDataset(
        root if root is not None else path.parent, files, source=os.fspath(path), max_pixels=max_pixels
    )


def _label(text: str) -> int:
    """ValueError for text that is not a number, and for numbers beyond Caffe's int."""
    label = int(text)
    if not -(2**31) <= label < 2**31:
        raise ValueError("out of range")
    return label


def read_folder(path: str | os.PathLike[str], *, max_pixels: int | None = None) -> ImageFilesDataset:
    """The images in the subfolders of a folder: each subfolder is a class, labelled by its place in sorted order.

    Where none holds images, those in the folder itself, without labels (-1 for each): enough to calibrate with and to
    measure times. Hidden folders and files are ignored. DataError where there are no images.
    """
    root = Path(path)
    try:
        classes = [name for name in _shown(root) if (root / name).is_dir()]
        files = [
            Listed(f"{name}/{file}", label)
            for label, name in enumerate(classes)
            for file in _shown(root / name)
            if file.lower().endswith(SUFFIXES)
        ] or [Listed(file, -1) for file in _shown(root) if file.lower().endswith(SUFFIXES)]
    except OSError as error:
        raise DataError(f"{root}: cannot be read: {error.strerror or error}") from error
    if not files:
        raise DataError(f"{root}: neither the folder nor a subfolder contains images ({', '.join(SUFFIXES)})")
    return ImageFilesDataset(root, files, max_pixels=max_pixels)


def _shown(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def _text(path: Path) -> str:
    content = read_at_most(path, MAX_LIST_BYTES, "list")
    try:
        return decoded(content)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: is not UTF-8 text; write each line as `path label`") from error
