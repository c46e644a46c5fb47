"""The options of commands that prepare images themselves: `--resize`, `--crop`, `--channel-order`, `--mean`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from inferkit.cli.model_options import stated_dimensions
from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.measure.engine.prepared_network import Recipe

# The option's name in `args`, and what it is called in the preprocessing of a matrix.
_NAMES = {
    "resize": "resize",
    "color": "color",
    "channel_order": "channel_order",
    "crop": "crop",
    "mean": "mean_values",
    "mean_image": "mean",
    "scale": "scale",
}


def add_preprocessing(parser: argparse.ArgumentParser) -> None:
    """The group of options; without any, images are prepared as a trained built-in network needs it, else not."""
    pixels = parser.add_argument_group("preprocessing (default: that of a trained built-in network, else none)")
    decoded = pixels.add_mutually_exclusive_group()
    decoded.add_argument("--color", action="store_true", default=None, help="decode images in colour")
    decoded.add_argument("--gray", action="store_false", dest="color", help="decode images in gray")
    pixels.add_argument("--resize", type=int, nargs=2, metavar=("H", "W"), help="resize images first")
    pixels.add_argument(
        "--channel-order",
        type=int,
        nargs="+",
        metavar="C",
        help="order of the channels: images are decoded to BGR, and 2 1 0 makes RGB of it",
    )
    pixels.add_argument("--crop", type=int, nargs=2, metavar=("H", "W"), help="crop the centre")
    pixels.add_argument("--mean", type=float, nargs="+", metavar="M", help="mean per channel, or one for all")
    pixels.add_argument("--mean-image", metavar="FILE", help="mean image (.binaryproto or .npy)")
    pixels.add_argument("--scale", type=float, metavar="S", help="factor after the mean")


def given_options(args: argparse.Namespace) -> list[str]:
    """The options of the group that were given, as they are written on the command line."""
    names = [name for name in _NAMES if getattr(args, name) is not None]
    return ["--gray" if name == "color" and not args.color else f"--{name.replace('_', '-')}" for name in names]


def given_preprocessing(args: argparse.Namespace) -> dict[str, Any]:
    """What the options ask for, in the form of the matrix; UsageError for two means."""
    if args.mean and args.mean_image:
        raise UsageError("--mean and --mean-image cannot be used together")
    return {key: getattr(args, name) for name, key in _NAMES.items() if getattr(args, name) is not None}


def preprocessing_of(args: argparse.Namespace) -> dict[str, Any]:
    """That of a trained built-in network; none for any other model."""
    from inferkit.network import zoo

    return {} if args.weights else zoo.trained_preprocessing(args.model)


def recipe_of(
    args: argparse.Namespace,
    precision: str,
    *,
    images: int = 1,
    dataset: str | None = None,
    preprocessing: dict[str, Any] | None = None,
) -> Recipe:
    """The recipe. Without a dataset of its own, a trained network is calibrated on the embedded one."""
    from inferkit.measure.engine.prepared_network import Recipe
    from inferkit.measure.images import EMBEDDED

    own = preprocessing_of(args)
    chosen = dataset or (EMBEDDED if own else None)
    used = own if preprocessing is None else preprocessing
    stated = stated_dimensions(args)
    return Recipe(
        args.model,
        args.model,
        precision,
        args.weights,
        chosen,
        used,
        images=images,
        shape=stated["input_shape"],
        batch_axis=stated["batch_axis"],
    )
