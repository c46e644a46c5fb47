"""Determines along which axis each input holds images; others (image sizes, anchors, scalars) are fed unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import PrecisionError
from inferkit.network.batch_axis import batch_axes
from inferkit.network.network import dims_of
from inferkit.precision.rewrite.graph import Graph

Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ImageInputs:
    """`axes` of the inputs that hold images; `fixed`: how many at a time, where the graph takes no other number.

    Where no axis is the batch, a batch is one image.
    """

    axes: Mapping[str, int]
    fixed: int | None = None

    @classmethod
    def of(cls, graph: Graph) -> ImageInputs:
        """As the names of the inputs' dimensions, or their sizes, say."""
        dims = {value.name: dims_of(value) for value in graph.inputs}
        found, _ = batch_axes(list(dims.values()), [dims_of(value) for value in graph.outputs])
        axes = {name: axis for name, axis in zip(dims, found, strict=True) if axis is not None}
        sizes = {dims[name][axis] for name, axis in axes.items()}
        size = sizes.pop() if len(sizes) == 1 else None
        return cls(axes, size if isinstance(size, int) else None)

    def count(self, batch: Feeds) -> int:
        """How many images a batch holds. PrecisionError where its inputs disagree."""
        sizes = {
            values.shape[self.axes[name]] if values.ndim > self.axes[name] else 0
            for name, values in batch.items()
            if name in self.axes
        }
        if len(sizes) > 1:
            raise PrecisionError(f"calibration: inputs of one batch hold different numbers of images: {sorted(sizes)}")
        return sizes.pop() if sizes else 1

    def part(self, batch: Feeds, start: int, stop: int | None = None) -> dict[str, NDArray[Any]]:
        """The images from `start` to before `stop` of a batch."""
        return {
            name: values[(slice(None),) * self.axes[name] + (slice(start, stop),)] if name in self.axes else values
            for name, values in batch.items()
        }

    def filled(self, batch: Feeds, missing: int) -> dict[str, NDArray[Any]]:
        """A batch with its last image repeated `missing` times."""
        last = self.part(batch, -1)
        return {
            name: np.concatenate([values, np.repeat(last[name], missing, self.axes[name])], self.axes[name])
            if name in self.axes
            else values
            for name, values in batch.items()
        }

    def of_one(self, name: str, shape: tuple[Any, ...]) -> list[Any]:
        """A shape without the axis along which input `name` holds images."""
        axis = self.axes.get(name)
        return [size for place, size in enumerate(shape) if place != axis]
