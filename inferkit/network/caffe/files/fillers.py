"""Fills learned blobs as Caffe does before weights are copied; random fillers are refused."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from inferkit.network.caffe.files.schema import FillerParameter
from inferkit.network.limit import check_shape

RANDOM = ("uniform", "gaussian", "xavier", "msra", "positive_unitball")


class RandomFiller(Exception):
    """The filler gives no definite values; the message says which it is and a hint."""


def fill(shape: Sequence[int], filler: FillerParameter | None) -> NDArray[np.float32]:
    """A float32 array of `shape` as the filler makes it; None is Caffe's default, zeros.

    Raises RandomFiller for a random filler, for one that Caffe does not have, and for one that cannot make the shape;
    NetworkError for more numbers than a network may have (limit.py): a prototxt of one line can ask for any number.
    """
    kind = filler.type if filler is not None else "constant"
    if kind not in RANDOM or (filler is not None and filler.min == filler.max):
        check_shape(shape, f"a blob of shape {list(shape)}")
    if filler is None or kind == "constant":
        return np.full(shape, filler.value if filler is not None else 0, np.float32)
    if kind == "bilinear":
        return _bilinear(shape)
    if kind == "uniform" and filler.min == filler.max:
        return np.full(shape, filler.min, np.float32)
    if kind in RANDOM:
        raise RandomFiller(f"Caffe would fill it with random values ({kind}); give a caffemodel that has it")
    if not kind:
        raise RandomFiller(
            "the prototxt states no filler, so Caffe would compute with zeros; give a caffemodel that has it"
        )
    raise RandomFiller(f"Caffe has no filler {kind!r}; give a caffemodel that has the blob")


def _bilinear(shape: Sequence[int]) -> NDArray[np.float32]:
    """Weights of a Deconvolution that enlarges by bilinear interpolation (Caffe's BilinearFiller)."""
    if len(shape) != 4 or shape[2] != shape[3]:
        raise RandomFiller(f"the bilinear filler needs a square kernel in four axes, not {list(shape)}")
    width = shape[3]
    factor = ceil(width / 2)
    centre = (width - 1) / (2 * factor)
    slope = 1 - np.abs(np.arange(width) / factor - centre)
    return np.broadcast_to(np.outer(slope, slope), shape).astype(np.float32)
