"""Determines which inputs hold images along their first axis; others (image sizes, anchors) are fed unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import PrecisionError
from inferkit.precision.rewrite.graph import Graph

Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ImageInputs:
    """`names` of the inputs that hold images; `fixed`: how many at a time, where the graph takes no other number.

    Where the inputs' first sizes differ, no input holds images along its first axis, and a batch is one image.
    """

    names: frozenset[str]
    fixed: int | None = None

    @classmethod
    def of(cls, graph: Graph) -> ImageInputs:
        """Inputs whose first dimension is open; where none is, all of them, if they agree on its size."""
        first: dict[str, int | None] = {}
        for value in graph.inputs:
            for dim in value.type.tensor_type.shape.dim[:1]:
                first[value.name] = dim.dim_value if dim.HasField("dim_value") else None
        opened = frozenset(name for name, size in first.items() if size is None)
        sizes = set(first.values())
        if opened or not sizes:
            return cls(opened or frozenset(graph.input_names))
        return cls(frozenset(first), sizes.pop()) if len(sizes) == 1 else cls(frozenset())

    def count(self, batch: Feeds) -> int:
        """How many images a batch holds. PrecisionError where its inputs disagree."""
        sizes = {values.shape[0] if values.ndim else 0 for name, values in batch.items() if name in self.names}
        if len(sizes) > 1:
            raise PrecisionError(f"calibration: inputs of one batch hold different numbers of images: {sorted(sizes)}")
        return sizes.pop() if sizes else 1

    def part(self, batch: Feeds, start: int, stop: int | None = None) -> dict[str, NDArray[Any]]:
        """The images from `start` to before `stop` of a batch."""
        return {name: values[start:stop] if name in self.names else values for name, values in batch.items()}

    def filled(self, batch: Feeds, missing: int) -> dict[str, NDArray[Any]]:
        """A batch with its last image repeated `missing` times."""
        return {
            name: np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if name in self.names else values
            for name, values in batch.items()
        }
