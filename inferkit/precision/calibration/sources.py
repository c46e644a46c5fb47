"""The accepted calibration sources, and how each becomes batches, ranges or amax values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from inferkit.errors import PrecisionError, UsageError
from inferkit.precision.calibration.batches import BatchFiles
from inferkit.precision.calibration.caches import read_cache
from inferkit.precision.calibration.collect import IMAGES, as_feeds
from inferkit.precision.calibration.image_inputs import Feeds, ImageInputs
from inferkit.precision.calibration.methods import Calibration
from inferkit.precision.calibration.ranges import Ranges
from inferkit.precision.rewrite.graph import Graph
from inferkit.progress import tell

_ZIP = b"PK\x03\x04"  # an NPZ file of ranges; a calibration cache is a text


def from_path(path: Path) -> Calibration | Ranges | BatchFiles:
    """What lies at `path`: a folder of batch files, a file of ranges or a calibration cache; else PrecisionError."""
    if path.is_dir():
        return BatchFiles(path)
    try:
        with path.open("rb") as file:
            start = file.read(len(_ZIP))
    except OSError as error:
        raise PrecisionError(f"calibration {path}: cannot be read: {error}") from error
    return Ranges.load(path) if start == _ZIP else read_cache(path)


def feeds_of(
    source: Any,
    graph: Graph,
    *,
    images: int | None = None,
    batch_size: int = 32,
    preprocessing: Any = None,
) -> Iterator[Feeds]:
    """Batches as dicts of arrays by the names of `graph`'s inputs.

    `source` is a dataset (something with `batches`), an iterable of batches, or one batch. Of a dataset, `images`
    images are taken, 500 by default, spread evenly over it: datasets are often sorted by class, and their first images
    then show only one. Of other sources all images are taken, or the first `images`. `preprocessing` goes to a dataset.
    UsageError for a source of another kind, PrecisionError for an unusable batch.
    """
    total = images
    holding, types = ImageInputs.of(graph), _types(graph)
    if hasattr(source, "batches"):
        wanted = IMAGES if images is None else images
        total = min(wanted, len(source))
        batches: Iterable[Any] = source.batches(
            batch_size, limit=wanted, spread=True, preprocessing=preprocessing, dtype=_element(graph)
        )
    elif isinstance(source, Mapping) or hasattr(source, "ndim"):
        batches = [source]
    elif isinstance(source, Iterable):
        batches = source
    else:
        raise UsageError(f"cannot calibrate with a {type(source).__name__}; give a dataset, batches, ranges or a path")
    return _limited((as_feeds(batch, types) for batch in batches), holding, images, total)


def _types(graph: Graph) -> dict[str, np.dtype[Any]]:
    """The numpy types of a graph's inputs by name."""
    return {
        value.name: np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
        for value in graph.inputs
    }


def _element(graph: Graph) -> str:
    """The type in which a dataset's images are fed: stored pixels where the network takes these."""
    bytes_only = {value.type.tensor_type.elem_type for value in graph.inputs} == {TensorProto.UINT8}
    return "uint8" if bytes_only else "float32"


def _limited(batches: Iterable[Feeds], holding: ImageInputs, images: int | None, total: int | None) -> Iterator[Feeds]:
    remaining, done = images, 0
    tell("calibration images", 0, total)
    for batch in batches:
        if remaining is not None and remaining <= 0:
            return
        size = holding.count(batch)
        if size:
            yield batch if remaining is None else holding.part(batch, 0, remaining)
            done += size if remaining is None else min(size, remaining)
            tell("calibration images", done, total)
        if remaining is not None:
            remaining -= size


def describe(source: Any) -> str:
    """What reports call a source: a dataset's or folder's name; nothing for arrays."""
    if isinstance(source, BatchFiles):
        return f"batch files in {Path(source.folder).name}"
    return Path(str(getattr(source, "source", "") or getattr(source, "name", ""))).name
