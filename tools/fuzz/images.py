"""What images come in: Datums, LMDB files, mean images, image files, arrays, IDX files, labels and lists of files."""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from inferkit.data import LmdbDataset, open_dataset, read_labels, read_mean, write_lmdb
from inferkit.data.fashion_mnist import read_idx
from inferkit.data.lmdb.datum import find_label, parse_datum, pixels, serialize_datum, serialize_encoded_datum
from inferkit.data.npy import read_npy
from inferkit.data.pixels.decode import decode_image
from inferkit.data.pixels.mean import write_binaryproto
from inferkit.errors import DataError, InferkitError
from tools.fuzz.target import Target, a_file

_MOST_PIXELS = 1 << 16


def _image(channels: int = 3) -> np.ndarray:
    return (np.arange(channels * 4 * 5) * 7 % 256).astype(np.uint8).reshape(channels, 4, 5)


def _encoded(suffix: str) -> bytes:
    import cv2

    return bytes(cv2.imencode(suffix, _image().transpose(1, 2, 0))[1].tobytes())


def datums() -> Iterable[bytes]:
    """Raw, of floats, and encoded."""
    yield serialize_datum(_image(), 3)
    yield serialize_datum(_image(1).astype(np.float32), 3)
    yield serialize_encoded_datum(_encoded(".png"), 7)


def read_datum(content: bytes) -> None:
    """The label read alone must be the one that the whole Datum has, or both are refused."""
    try:
        alone: int | None = find_label(lambda start, stop: content[start:stop], len(content))
    except DataError:
        alone = None
    datum = parse_datum(content)
    if alone is not None and alone != datum.label:
        raise AssertionError(f"find_label says {alone}, parse_datum {datum.label}")
    if datum.encoded:
        decode_image(datum.data, max_pixels=_MOST_PIXELS)
    else:
        pixels(datum)


def databases() -> Iterable[bytes]:
    """LMDBs of a few images: in leaves, in overflow pages, and encoded."""
    for images in ([_image(1)] * 2, [np.zeros((3, 40, 40), np.uint8)] * 3):
        with tempfile.TemporaryDirectory() as folder:
            write_lmdb(Path(folder) / "db", images, range(len(images)))
            yield (Path(folder) / "db" / "data.mdb").read_bytes()


def read_database(content: bytes) -> None:
    """Every image and every label."""
    with a_file(content, "data.mdb") as path, LmdbDataset(path, max_pixels=_MOST_PIXELS) as dataset:
        for batch in dataset.batches(2, limit=64):
            batch.images.sum()
        if len(dataset) <= 10_000:
            dataset.labels.sum()


def means() -> Iterable[bytes]:
    """A mean image as binaryproto and as .npy."""
    with tempfile.TemporaryDirectory() as folder:
        write_binaryproto(Path(folder) / "m", _image().astype(np.float32))
        yield (Path(folder) / "m").read_bytes()
    yield _npy(_image().astype(np.float32))


def read_mean_image(content: bytes) -> None:
    with a_file(content, "mean.binaryproto") as path:
        read_mean(path)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def arrays() -> Iterable[bytes]:
    yield _npy(_image()[np.newaxis])
    yield _npz(images=_image()[np.newaxis], labels=np.array([1]))


def read_array_file(content: bytes) -> None:
    """As arrays alone, and as whatever dataset the file seems to be."""
    with contextlib.suppress(InferkitError):
        read_npy(content)
    with a_file(content, "images.npz") as path, open_dataset(path, max_pixels=_MOST_PIXELS) as dataset:
        for batch in dataset.batches(2, limit=8):
            batch.images.sum()


def idx_files() -> Iterable[bytes]:
    yield gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 1, 4, 5) + bytes(20), mtime=0)


def image_files() -> Iterable[bytes]:
    return [_encoded(suffix) for suffix in (".jpg", ".png", ".bmp", ".webp")]


def read_image(content: bytes) -> None:
    for color in (None, True, False):
        decode_image(content, color, _MOST_PIXELS)


def read_names(content: bytes) -> None:
    with a_file(content, "labels.txt") as path:
        read_labels(path)


def read_listed(content: bytes) -> None:
    """A list of image files, opened beside the one image that there is."""
    with a_file(content, "list.txt") as path:
        (path.parent / "a.png").write_bytes(_PNG)
        with open_dataset(path, max_pixels=_MOST_PIXELS) as dataset:
            for batch in dataset.batches(2, limit=8):
                batch.images.sum()


_PNG = _encoded(".png")
TARGETS = (
    Target("datum", read_datum, datums),
    Target("lmdb", read_database, databases, most_bytes=1 << 16),
    Target("mean", read_mean_image, means, (b"\x93NUMPY", b"'descr': '<f4'", b"fortran_order", b"shape")),
    Target(
        "arrays", read_array_file, arrays, (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06", b"'descr': '<f8'", b"shape")
    ),
    Target("idx", lambda content: read_idx(content), idx_files),
    Target(
        "image", read_image, image_files, (b"\xff\xd8", b"\xff\xda", b"IHDR", b"IDAT", b"IEND", b"RIFF", b"WEBPVP8X")
    ),
    Target("labels", read_names, lambda: [b"n01440764 tench, Tinca tinca\nn01443537 goldfish\n", b"cat\ndog\n"]),
    Target("list", read_listed, lambda: [b"a.png 0\na.png 1\n"], (b"../", b"/dev/zero", b"/proc/self/mem", b"a.png ")),
)
