"""The options that name a model and its precision: the same words in every command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferkit.network.network import Network

PRECISIONS = "fp32, tf32, fp16, bf16, int8, fp8"


def add_model(parser: argparse.ArgumentParser, *, or_engine: bool = False) -> None:
    """MODEL and its weights, for `load_model`; with `or_engine` MODEL may be an engine file."""
    kinds = (
        "prototxt, ONNX model, built-in network or engine file"
        if or_engine
        else "prototxt, ONNX model or built-in network"
    )
    parser.add_argument("model", metavar="MODEL", help=f"{kinds} (`inferkit zoo` lists the built-in ones)")
    parser.add_argument("-w", "--weights", metavar="FILE", help="caffemodel of a prototxt")


def add_precision(parser: argparse.ArgumentParser) -> None:
    """--precision, FP32 by default."""
    parser.add_argument("--precision", default="fp32", help=f"{PRECISIONS} (default: %(default)s)")


def load_model(args: argparse.Namespace) -> Network:
    """The network that MODEL and its weights name. NetworkError and UsageError as `inferkit.load` raises them."""
    import inferkit

    return inferkit.load(args.model, args.weights)
