"""The samples of a load: the first of a dataset, preprocessed, in memory, with their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import UsageError
from inferkit.serve.batching.layout import Arrays

if TYPE_CHECKING:
    from inferkit.network.network import TensorInfo


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs by name, one row each for every sample, and the labels where the dataset has them."""

    arrays: Arrays
    labels: NDArray[np.int64] | None
    description: str

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def rows(self, indices: Sequence[int]) -> Arrays:
        """The inputs of these samples as one batch; one sample is not copied."""
        if len(indices) == 1:
            return {name: array[indices[0] : indices[0] + 1] for name, array in self.arrays.items()}
        return {name: array[np.asarray(indices)] for name, array in self.arrays.items()}


def read_samples(
    inputs: Sequence[TensorInfo], dataset: str | None, count: int, preprocessing: Mapping[str, Any] | None = None
) -> Samples:
    """The first `count` samples (fewer where the dataset has fewer) for these inputs.

    `dataset` is a name or a path; None takes the embedded images brought to the inputs' shapes, without labels.
    `preprocessing` holds Preprocessing's fields. Raises DataError of the data, UsageError where a dataset has to feed
    two inputs.
    """
    from inferkit.data.opening import open_batches
    from inferkit.measure.images import stand_ins

    if count < 1:
        raise UsageError(f"{count} samples: a load needs at least one")
    if dataset is None:
        arrays = stand_ins(inputs, count)
        return Samples(arrays, None, "fashion_mnist, brought to the input's shape")
    if len(inputs) != 1:
        raise UsageError(f"{dataset}: a dataset feeds one input; the network has {len(inputs)}")
    images, labels, missing = [], [], count
    for batch in open_batches(dataset, min(count, 256), preprocessing or {}, inputs[0]):
        size = min(batch.count, missing)
        images.append(batch.images[:size].copy())
        labels.append(batch.labels[:size])
        missing -= size
        if not missing:
            break
    if not images:
        raise UsageError(f"{dataset}: holds no image")
    all_labels = np.concatenate(labels)
    return Samples({inputs[0].name: np.concatenate(images)}, None if all_labels.min() < 0 else all_labels, dataset)
