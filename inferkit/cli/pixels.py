"""The options of commands that prepare images themselves: `--resize`, `--crop`, `--mean`, `--mean-image`, `--scale`."""

from __future__ import annotations

import argparse


def add_preprocessing(parser: argparse.ArgumentParser) -> None:
    """The group of options; without any, images are prepared as a trained network of the zoo wants them, else not."""
    pixels = parser.add_argument_group("preprocessing (default: what a trained network of the zoo wants, else none)")
    pixels.add_argument("--resize", type=int, nargs=2, metavar=("H", "W"), help="resize images first")
    pixels.add_argument("--crop", type=int, nargs=2, metavar=("H", "W"), help="cut out the centre")
    pixels.add_argument("--mean", type=float, nargs="+", metavar="M", help="mean of each channel, or one for all")
    pixels.add_argument("--mean-image", metavar="FILE", help="mean image (.binaryproto or .npy)")
    pixels.add_argument("--scale", type=float, metavar="S", help="factor after the mean")
