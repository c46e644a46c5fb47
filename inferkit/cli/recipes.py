"""From a command line's MODEL to the recipe of its network, as `scale` and `accuracy` take it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferkit.measure.prepared import Recipe


def preprocessing_of(args: argparse.Namespace) -> dict[str, Any]:
    """The steps that a trained network of the zoo asks for; none for any other model."""
    from inferkit.network import zoo

    trained = not args.weights and args.model in zoo.names() and zoo.is_trained(args.model)
    return dict(zoo.card(args.model)["preprocessing"]) if trained else {}


def recipe_of(
    args: argparse.Namespace,
    precision: str,
    *,
    images: int = 1,
    dataset: str | None = None,
    steps: dict[str, Any] | None = None,
) -> Recipe:
    """The recipe. Without a dataset of its own, a trained network is calibrated on the embedded one."""
    from inferkit.measure.images import EMBEDDED
    from inferkit.measure.prepared import Recipe

    own = preprocessing_of(args)
    chosen = dataset or (EMBEDDED if own else None)
    used = own if steps is None else steps
    return Recipe(args.model, args.model, precision, args.weights, chosen, used, images=images)
