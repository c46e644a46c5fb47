"""The embedded dataset: Fashion-MNIST's 10,000 test images, written to the cache as a Caffe LMDB on first use.

Fashion-MNIST: copyright 2017 Zalando SE, MIT licence (embedded/LICENSE), https://github.com/zalandoresearch/fashion-mnist.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import shutil
import struct
import warnings
import zlib
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inferkit.cache import cache_dir
from inferkit.data.arrays import ArrayDataset
from inferkit.data.dataset import Dataset
from inferkit.data.lmdb.dataset import LmdbDataset
from inferkit.data.lmdb.write import write_lmdb
from inferkit.errors import DataError, InferkitError

NAME = "fashion_mnist"
COUNT = 10_000
LABELS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_IMAGES = ("t10k-images-idx3-ubyte.gz", "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa")
_LABELS = ("t10k-labels-idx1-ubyte.gz", "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05")


def open_fashion_mnist() -> Dataset:
    """The 10,000 gray test images of 28 × 28 pixels, an LMDB in the cache, built in a second if missing.

    Several processes may do this at once, and any may be killed. A damaged LMDB is built again. Where the cache cannot
    be written to, the same images are served from memory, with a warning. DataError where the package is damaged.
    """
    try:
        folder = cache_dir("datasets")
        target = folder / f"{NAME}-{_IMAGES[1][:12]}"
        dataset = _usable(target)
        return dataset if dataset is not None else _build(folder, target)
    except InferkitError as error:
        images, labels = read_embedded()
        warnings.warn(f"{NAME} is served from memory: {error}", stacklevel=2)
        return ArrayDataset(images, labels, keys=_keys(), source=NAME)


def read_embedded() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The test images [10000, 28, 28] and labels [10000] in the package. DataError where its files are damaged."""
    images, labels = (read_idx(_content(name, digest), name) for name, digest in (_IMAGES, _LABELS))
    if images.shape != (COUNT, 28, 28) or labels.shape != (COUNT,) or labels.max() >= len(LABELS):
        raise DataError(
            f"{NAME}: images {images.shape} and labels {labels.shape} are not those of Fashion-MNIST; "
            "install inferkit again"
        )
    return images, labels


def labels_file() -> Path:
    """The file with the names of the ten classes, one a line."""
    return Path(str(files("inferkit.data") / "embedded" / "fashion_mnist_labels.txt"))


def _build(folder: Path, target: Path) -> Dataset:
    from filelock import FileLock

    try:
        # The system frees the lock when its holder dies.
        with FileLock(folder / f"{NAME}.lock"):
            dataset = _usable(target)  # another process may have built it while this one waited
            if dataset is not None:
                return dataset
            for leftover in (target, *folder.glob(f".{target.name}.*.tmp")):  # damaged, or of a run that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            images, labels = read_embedded()
            write_lmdb(target, images, labels.tolist(), names=_names())
            return LmdbDataset(target)
    except OSError as error:
        raise DataError(f"{target}: cannot be built: {error.strerror or error}") from error


def _usable(target: Path) -> LmdbDataset | None:
    """The LMDB, if it is there and whole."""
    if not target.exists():
        return None
    try:
        dataset = LmdbDataset(target)
    except DataError:
        return None
    if len(dataset) == COUNT and dataset.shape == (1, 28, 28):
        return dataset
    dataset.close()
    return None


def _content(name: str, digest: str) -> bytes:
    try:
        content = (files("inferkit.data") / "embedded" / name).read_bytes()
    except OSError as error:
        raise DataError(f"{name}: the package's file cannot be read: {error}; install inferkit again") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(f"{name}: the package's file is damaged (its checksum differs); install inferkit again")
    return content


def _names() -> list[str]:
    return [f"t10k-{index:05d}" for index in range(COUNT)]


def _keys() -> list[str]:
    return [f"{index:08d}_{name}" for index, name in enumerate(_names())]


_UINT8 = 0x08
_CHUNK = 1 << 20


def read_idx(compressed: bytes, source: str = "IDX file") -> NDArray[np.uint8]:
    """The array in a gzipped IDX file of unsigned bytes. DataError for any defect.

    Memory is allocated as bytes arrive, not as the header declares, and at most one byte beyond that.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(compressed)) as file:
        try:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] != _UINT8 or not head[3]:
                raise DataError(f"{source}: is not an IDX file of unsigned bytes (it begins with {head!r})")
            sizes = file.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise DataError(f"{source}: is truncated within its header")
            shape = struct.unpack(f">{head[3]}I", sizes)
            size = math.prod(shape)
            content = bytearray()
            while len(content) <= size and (chunk := file.read(min(_CHUNK, size + 1 - len(content)))):
                content += chunk
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{source}: cannot be unpacked: {error}") from error
    if len(content) != size:
        relation = "more" if len(content) > size else f"only {len(content)}"
        raise DataError(f"{source}: declares the shape {shape}, {size} bytes, but holds {relation}")
    return np.frombuffer(content, np.uint8).reshape(shape)
