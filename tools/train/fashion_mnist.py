"""Fashion-MNIST's original files: images and labels as arrays, and as the LMDB that Caffe trains from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inferkit.data.fashion_mnist import read_idx

TRAIN, TEST = "train", "t10k"


def read(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images [N, 1, 28, 28] and labels [N] of TRAIN (60,000) or TEST (10,000). DataError for a damaged file."""
    images, labels = (
        read_idx((folder / file).read_bytes(), file)
        for file in (f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz")
    )
    return images[:, np.newaxis], labels
