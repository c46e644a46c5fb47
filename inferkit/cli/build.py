"""`inferkit build`: an engine file from a model, with its metadata beside it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.backends import DEFAULT_ENGINE_BACKEND, backend
from inferkit.cli.backend_options import add_backend, check_taken, takes
from inferkit.cli.output import add_json, print_json
from inferkit.cli.precision_options import add_precision_options, at_precision
from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.backends.base import Engine
    from inferkit.network.network import Network

# Options that not every backend has: the setting of its build, and what the option is when nobody states it.
_SETTINGS: dict[str, tuple[str, Any]] = {
    "min_batch": ("min_batch", None),
    "opt_batch": ("opt_batch", None),
    "static": ("static", False),
    "flavour": ("flavour", None),
    "target": ("target", None),
    "workspace": ("workspace", None),
    "device": ("device", None),
    "no_cache": ("cache", False),
    "uint8_input": ("uint8_input", False),
    "mean": ("uint8_input", None),
    "mean_image": ("uint8_input", None),
    "scale": ("uint8_input", 1.0),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.epilog = "exit codes: 0 built · 1 cannot be built, or not here · 2 usage"
    parser.add_argument("model", metavar="MODEL", help="a prototxt, an ONNX model, or a network of the zoo")
    parser.add_argument("-w", "--weights", metavar="FILE", help="the caffemodel of a prototxt")
    add_backend(parser, DEFAULT_ENGINE_BACKEND)
    parser.add_argument("--precision", default="fp32", help="fp32, tf32, fp16, bf16, int8, fp8 (default: %(default)s)")
    parser.add_argument("--max-batch", type=int, default=1, metavar="N", help="largest batch (default: %(default)s)")
    parser.add_argument("-o", "--output", metavar="FILE", help="the engine's file; its metadata goes to FILE.json")
    add_json(parser)
    batches = parser.add_argument_group("batches")
    batches.add_argument("--min-batch", type=int, metavar="N", help="smallest batch (default: 1)")
    batches.add_argument("--opt-batch", type=int, metavar="N", help="batch to be fastest at (default: the largest)")
    batches.add_argument("--static", action="store_true", help="fix the batch in the graph: one size only, fastest")
    engines = parser.add_argument_group("backends that keep engine files (tensorrt)")
    engines.add_argument("--flavour", help="tensorrt or tensorrt_rtx (default: $INFERKIT_TENSORRT, else installed)")
    engines.add_argument(
        "--target",
        nargs="+",
        action="extend",
        metavar="SM",
        help="compute capabilities, such as sm89 (TensorRT-RTX; default: portable)",
    )
    engines.add_argument("--workspace", type=int, metavar="MIB", help="most scratch memory for a layer")
    engines.add_argument("--device", metavar="GPU", help="index or UUID of the GPU that is built on")
    engines.add_argument("--no-cache", action="store_true", help="build anew, and keep only the output")
    pixels = parser.add_argument_group("raw pixels as input (tensorrt)")
    pixels.add_argument("--uint8-input", action="store_true", help="take uint8, subtract and scale in the engine")
    pixels.add_argument("--mean", metavar="M", type=float, nargs="+", help="mean of each channel, or one for all")
    pixels.add_argument("--mean-image", metavar="FILE", help="mean image (binaryproto or npy) of the input's size")
    pixels.add_argument("--scale", type=float, default=1.0, help="factor after the mean (default: %(default)s)")
    add_precision_options(parser)


def run(args: argparse.Namespace) -> int:
    """Build, write, and say in one line what was built."""
    import inferkit
    from inferkit.report.progress import shown_on_stderr

    network = inferkit.load(*([args.model, args.weights] if args.weights else [args.model]))
    with shown_on_stderr():
        network = at_precision(network, args)
        engine = inferkit.build(network, backend=args.backend, max_batch=args.max_batch, **_options(args, network))
    if args.output is not None:
        if not backend(args.backend).facts.keeps_engine_files:
            raise UsageError(f"{args.backend} makes its engines when they are opened: there is nothing to write")
        engine.save(args.output)
    if args.json:
        where = args.output or engine.path
        info = {**asdict(engine.info), "details": dict(engine.info.details), "network": network.name}
        path = None if where is None else str(where)
        print_json({"network": network.name, "path": path, **info, "notes": list(network.notes)})
        return 0
    for note in network.notes:
        print(f"note: {note}")
    print(describe(engine, network, args.output))
    return 0


def _options(args: argparse.Namespace, network: Network) -> dict[str, Any]:
    for option, (setting, default) in _SETTINGS.items():
        if getattr(args, option) != default:
            check_taken(option, args.backend, setting, "build")
    options: dict[str, Any] = {
        "min_batch": args.min_batch,
        "opt_batch": args.opt_batch,
        "static": args.static,
        "flavour": args.flavour,
        "target": args.target,
        "workspace": None if args.workspace is None else args.workspace << 20,
        "device": args.device,
        "cache": not args.no_cache,
    }
    if args.no_cache and args.output is None:
        raise UsageError("--no-cache without --output would build an engine for nothing")
    if args.uint8_input:
        options["uint8_input"] = _uint8_input(args)
    elif args.mean or args.mean_image or args.scale != 1.0:
        raise UsageError("--mean, --mean-image and --scale go with --uint8-input")
    return {name: value for name, value in options.items() if takes(args.backend, name, "build")}


def _uint8_input(args: argparse.Namespace) -> Any:
    from inferkit.backends.uint8_input import Uint8Input

    if args.mean and args.mean_image:
        raise UsageError("--mean and --mean-image exclude each other")
    mean: Any = args.mean
    if args.mean_image:
        from inferkit.data import read_mean

        mean = read_mean(args.mean_image)
    return Uint8Input(mean, args.scale)


def describe(engine: Engine, network: Network, output: str | None) -> str:
    """One line: what was built, by what, how large, how long it took, and where it lies."""
    info = engine.info
    where = output or engine.path
    parts = [f"{network.name} {info.precision}, batch up to {info.max_batch}"]
    parts.append(f"{info.flavour} {info.version}" if info.flavour else info.backend)
    if info.size_bytes is not None:
        parts.append(f"{info.size_bytes / 1e6:.1f} MB")
    if info.details.get("from_cache"):
        parts.append("from the cache")
    elif info.build_seconds is not None:
        parts.append(f"built in {info.build_seconds:.1f} s")
    if where is not None:
        parts.append(str(Path(where)))
    return " · ".join(parts)
