"""The options of raw pixels as input: `--uint8-input`, and the mean and scale that become the engine's."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from inferkit.cli.pixels import preprocessing_of
from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.backends.uint8_input import Uint8Input
    from inferkit.network.network import Network


def add_uint8_input(parser: argparse.ArgumentParser) -> None:
    """The group of options."""
    pixels = parser.add_argument_group("raw pixels as input (mean and scale default to a trained built-in network's)")
    pixels.add_argument("--uint8-input", action="store_true", help="take uint8 input; the engine subtracts and scales")
    pixels.add_argument("--mean", metavar="M", type=float, nargs="+", help="mean per channel, or one for all")
    pixels.add_argument("--mean-image", metavar="FILE", help="mean image of the input's size (.binaryproto or .npy)")
    pixels.add_argument("--scale", metavar="S", type=float, help="factor after the mean")


def given_uint8_options(args: argparse.Namespace) -> list[str]:
    """Which of these options were given. UsageError where they do not fit each other."""
    stated = {"--mean": args.mean, "--mean-image": args.mean_image, "--scale": args.scale}
    given = [option for option, value in stated.items() if value is not None]
    if given and not args.uint8_input:
        raise UsageError("--mean, --mean-image and --scale need --uint8-input")
    if args.mean and args.mean_image:
        raise UsageError("--mean and --mean-image cannot be used together")
    return ["--uint8-input", *given] if args.uint8_input else []


def asked_uint8_input(args: argparse.Namespace, network: Network) -> Uint8Input | None:
    """What the network is to do to pixels; None where it takes what it took. UsageError for options that do not fit."""
    given = given_uint8_options(args)
    if not given:
        return None
    from inferkit.backends.uint8_input import Uint8Input, normalization_of

    if len(given) == 1 and len(network.inputs) == 1:
        from inferkit.data.opening import preprocessing_from

        return normalization_of(preprocessing_from(preprocessing_of(args)), network.inputs[0])
    mean: Any = args.mean
    if args.mean_image:
        from inferkit.data import read_mean

        mean = read_mean(args.mean_image)
    return Uint8Input(mean, 1.0 if args.scale is None else args.scale)


def with_asked_input(network: Network, args: argparse.Namespace) -> Network:
    """The network, at its precision already, with the input that the options ask for."""
    asked = asked_uint8_input(args, network)
    if asked is None:
        return network
    from inferkit.backends.uint8_input import with_uint8_input

    return with_uint8_input(network, asked)
