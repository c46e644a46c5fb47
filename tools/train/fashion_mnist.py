"""Fashion-MNIST's original files: images and labels as arrays, and as the LMDB of Datums that Caffe trains from."""

from __future__ import annotations

import gzip
from pathlib import Path

import lmdb
import numpy as np

from inferkit.network.caffe import schema

TRAIN, TEST = "train", "t10k"


def read(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 1, 28, 28] and labels uint8 [N] of TRAIN (60,000) or TEST (10,000)."""
    pixels = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    classes = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    # IDX: a big-endian magic number and one 32-bit size for each dimension, then the bytes.
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = np.frombuffer(classes, np.uint8, offset=8)
    if len(images) != len(labels):
        raise ValueError(f"{folder}: {len(images)} images but {len(labels)} labels of {part}")
    return images, labels


def write_lmdb(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write one Datum for each image, keys in order, as Caffe's `convert_mnist_data` does."""
    with (
        lmdb.open(str(path), map_size=4 * images.nbytes + (64 << 20)) as environment,
        environment.begin(write=True) as t,
    ):
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            channels, height, width = image.shape
            datum = schema.Datum(channels=channels, height=height, width=width, data=image.tobytes(), label=int(label))
            t.put(f"{index:08d}".encode(), datum.SerializeToString())
