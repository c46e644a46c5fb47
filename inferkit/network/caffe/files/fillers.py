"""Fills learned blobs as Caffe does before weights are copied; random fillers are refused."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from inferkit.network.caffe.files.schema import FillerParameter
from inferkit.network.limit import check_shape

RANDOM = ("uniform", "gaussian", "xavier", "msra", "positive_unitball")

# Stands for a filler that the prototxt does not state. Caffe fills such weights with zeros. Nobody means that: the
# caffemodel lacks the layer.
UNSTATED = FillerParameter(type="")


class RandomFiller(Exception):
    """The filler gives no definite values; the message says which it is and a hint."""


class WrongFiller(Exception):
    """Caffe aborts on the filler, also where weights are given; the message says why."""


def check_filler(filler: FillerParameter, shape: Sequence[int] | None = None) -> None:
    """WrongFiller where Caffe's filler aborts; `shape` is that of the blob, None where it is not known yet."""
    kind = filler.type
    if kind not in (*RANDOM, "constant", "bilinear"):
        raise WrongFiller(f"Caffe 1.0 has no filler {kind!r}; it has {', '.join(('constant', 'bilinear', *RANDOM))}")
    if kind == "gaussian":
        if not filler.std > 0:
            raise WrongFiller(f"the gaussian filler needs a positive std, not {filler.std:g}")
        outputs = shape[0] if shape else None
        if filler.sparse < -1 or (outputs is not None and filler.sparse > outputs):
            raise WrongFiller(f"sparse is {filler.sparse}; it must be -1 or at most the first dimension of the blob")
    elif filler.sparse != -1:
        raise WrongFiller(f"the {kind} filler takes no sparse")
    if kind == "uniform" and not filler.min <= filler.max:
        raise WrongFiller(f"the uniform filler has min {filler.min:g} above max {filler.max:g}")
    if kind == "bilinear" and shape is not None and (len(shape) != 4 or shape[2] != shape[3]):
        raise WrongFiller(f"the bilinear filler needs a square kernel in four axes, not {list(shape)}")


def fill(shape: Sequence[int], filler: FillerParameter | None) -> NDArray[np.float32]:
    """A float32 array of `shape` as the filler makes it; None is Caffe's default, zeros.

    Raises RandomFiller for a random filler and for UNSTATED; WrongFiller as check_filler does; NetworkError for more
    numbers than a network may have (limit.py): a prototxt of one line can ask for any number.
    """
    if filler is UNSTATED:
        raise RandomFiller(
            "the prototxt states no filler, so Caffe would compute with zeros; give a caffemodel that has it"
        )
    if filler is not None:
        check_filler(filler, shape)
    kind = filler.type if filler is not None else "constant"
    if kind not in RANDOM or (filler is not None and filler.min == filler.max):
        check_shape(shape, f"a blob of shape {list(shape)}")
    if filler is None or kind == "constant":
        return np.full(shape, filler.value if filler is not None else 0, np.float32)
    if kind == "bilinear":
        return _bilinear(shape)
    if kind == "uniform" and filler.min == filler.max:
        return np.full(shape, filler.min, np.float32)
    raise RandomFiller(f"Caffe would fill it with random values ({kind}); give a caffemodel that has it")


def _bilinear(shape: Sequence[int]) -> NDArray[np.float32]:
    """Weights of a Deconvolution that enlarges by bilinear interpolation (Caffe's BilinearFiller)."""
    width = shape[3]
    factor = ceil(width / 2)
    centre = (width - 1) / (2 * factor)
    slope = 1 - np.abs(np.arange(width) / factor - centre)
    return np.broadcast_to(np.outer(slope, slope), shape).astype(np.float32)
