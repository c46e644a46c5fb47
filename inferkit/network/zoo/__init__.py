"""The zoo: well-known networks by name, as Caffe files that PyCaffe and the import read alike.

Three are trained on Fashion-MNIST and stored here; the others get made-up weights (`weights`), good for latency and
for comparing precisions, while their accuracy means nothing.
"""

from __future__ import annotations

from typing import Any

from inferkit.network.zoo.catalogue import CATALOGUE, REFERENCES, build, entry
from inferkit.network.zoo.store import card, files, write

__all__ = ["build", "card", "files", "is_trained", "knows", "names", "prototxt", "trained_preprocessing", "write"]


def names() -> tuple[str, ...]:
    """The networks that the zoo has."""
    return tuple(CATALOGUE)


def knows(name: str) -> bool:
    """Whether `load` takes this name: that of a network, or of the reference network that runs with every suite."""
    return name in CATALOGUE or name in REFERENCES


def prototxt(name: str, batch: int = 1) -> str:
    """The deploy prototxt of `name`: input `data` [batch, C, H, W], output `prob`.

    Raises UsageError for a name that the zoo does not have, or a batch below 1.
    """
    from inferkit.errors import UsageError

    if batch < 1:
        raise UsageError(f"the batch must be at least 1, not {batch}")
    return build(name).prototxt(batch)


def is_trained(name: str) -> bool:
    """Whether `name` is stored with trained weights. Raises UsageError for a name that the zoo does not have."""
    return entry(name).trained


def trained_preprocessing(name: str) -> dict[str, Any]:
    """What a trained network does to its images, in the form that a matrix has; empty for any other name."""
    return dict(card(name)["preprocessing"]) if name in CATALOGUE and is_trained(name) else {}
