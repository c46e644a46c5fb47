"""The options that name a model, what it leaves open, and its precision: the same words in every command."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from inferkit.errors import UsageError

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
    add_dimensions(parser)


def add_dimensions(parser: argparse.ArgumentParser) -> None:
    """The options that state what a model leaves open, for `stated_dimensions`."""
    parser.add_argument(
        "--input-shape",
        action="append",
        default=[],
        metavar="SIZES",
        help="sizes that the model leaves open: H=48,W=320 by the names of dimensions, or whole shapes, 1,3,48,320 or "
        "NAME=1,3,48,320 (an open batch stays open); repeatable",
    )
    parser.add_argument(
        "--batch-axis",
        action="append",
        default=[],
        metavar="[NAME=]AXIS",
        help="axis of an input (or output) that is the batch, where the model's names do not show it; repeatable",
    )


def given_dimensions(args: argparse.Namespace) -> list[str]:
    """Which of these options were given."""
    return [name for name in ("--input-shape", "--batch-axis") if getattr(args, name[2:].replace("-", "_"))]


def stated_dimensions(args: argparse.Namespace) -> dict[str, Any]:
    """`input_shape` and `batch_axis` of `inferkit.load`, None where they were not given. UsageError for other words."""
    return {"input_shape": parse_shapes(args.input_shape), "batch_axis": _parse_axes(args.batch_axis)}


def parse_shapes(words: list[str]) -> tuple[int, ...] | dict[str, int | tuple[int, ...]] | None:
    """`["1,3,224,224"]` is one shape, `["data=1,3,8,8", "H=48,W=320"]` shapes and sizes by name.

    UsageError for anything else.
    """
    shapes: dict[str, int | tuple[int, ...]] = {}
    unnamed: list[tuple[int, ...]] = []
    for word in words:
        named = re.fullmatch(r"[^=,]+=\d+(,[^=,]+=\d+)*", word)
        for part in word.split(",") if named else [word]:
            name, _, text = part.rpartition("=")
            try:
                sizes = tuple(int(size) for size in text.replace("x", ",").split(","))
            except ValueError:
                raise UsageError(
                    f"--input-shape {word}: sizes must be whole numbers, such as 1,3,224,224 or H=48,W=320"
                ) from None
            if any(size <= 0 for size in sizes):
                raise UsageError(f"--input-shape {word}: sizes must be at least 1")
            if name:
                shapes[name] = sizes[0] if named else sizes
            else:
                unnamed.append(sizes)
    if not unnamed:
        return shapes or None
    if shapes or len(unnamed) > 1:
        raise UsageError("--input-shape: several shapes each need the name of their input, NAME=N,C,H,W")
    return unnamed[0]


def _parse_axes(words: list[str]) -> int | dict[str, int] | None:
    axes: dict[str, int] = {}
    for word in words:
        name, _, text = word.rpartition("=")
        if not text.isdigit():
            raise UsageError(f"--batch-axis {word}: give the number of an axis, from 0 on, such as state=1")
        axes[name] = int(text)
    if "" in axes and len(words) > 1:
        raise UsageError("--batch-axis: several axes each need the name of their input, NAME=AXIS")
    return axes.get("", axes or None)


def add_precision(parser: argparse.ArgumentParser) -> None:
    """--precision, FP32 by default."""
    parser.add_argument("--precision", default="fp32", help=f"{PRECISIONS} (default: %(default)s)")


def load_model(args: argparse.Namespace) -> Network:
    """The network that MODEL and its weights name. NetworkError and UsageError as `inferkit.load` raises them."""
    import inferkit

    return inferkit.load(args.model, args.weights, **stated_dimensions(args))
