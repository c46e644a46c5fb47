"""`inferkit build`: an engine file from a model, with its metadata beside it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.backends import DEFAULT_ENGINE_BACKEND, backend
from inferkit.cli.backend_options import add_backend, check_taken, takes
from inferkit.cli.model_options import add_model, add_precision, load_model
from inferkit.cli.option_types import at_least_one
from inferkit.cli.output import add_json, print_json
from inferkit.cli.precision_options import add_precision_options, at_precision
from inferkit.cli.uint8_options import add_uint8_input, given_uint8_options, with_asked_input
from inferkit.errors import UsageError
from inferkit.exit_codes import ExitCode

if TYPE_CHECKING:
    from inferkit.backends.base import Engine
    from inferkit.network.network import Network

# Options that not every backend has: the setting of its build, and the option's default.
_SETTINGS: dict[str, tuple[str, Any]] = {
    "min_batch": ("min_batch", None),
    "opt_batch": ("opt_batch", None),
    "static": ("static", False),
    "flavour": ("flavour", None),
    "target": ("target", None),
    "workspace": ("workspace", None),
    "device": ("device", None),
    "no_cache": ("cache", False),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    add_model(parser)
    add_backend(parser, DEFAULT_ENGINE_BACKEND)
    add_precision(parser)
    parser.add_argument(
        "--max-batch", type=at_least_one, default=1, metavar="N", help="largest batch size (default: %(default)s)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="engine file; its metadata is written to FILE.json")
    add_json(parser)
    batches = parser.add_argument_group("batch sizes")
    batches.add_argument("--min-batch", type=at_least_one, metavar="N", help="smallest batch size (default: 1)")
    batches.add_argument(
        "--opt-batch", type=at_least_one, metavar="N", help="batch size to optimize for (default: the largest)"
    )
    batches.add_argument("--static", action="store_true", help="one fixed batch size in the graph, which is fastest")
    engines = parser.add_argument_group("backends with engine files (tensorrt)")
    engines.add_argument(
        "--flavour", help="tensorrt or tensorrt_rtx (default: $INFERKIT_TENSORRT, else the installed one)"
    )
    engines.add_argument(
        "--target",
        nargs="+",
        action="extend",
        metavar="SM",
        help="compute capabilities, such as sm89 (TensorRT-RTX; default: portable)",
    )
    engines.add_argument("--workspace", type=at_least_one, metavar="MIB", help="maximum scratch memory of a layer")
    engines.add_argument("--device", metavar="GPU", help="index or UUID of the GPU to build on")
    engines.add_argument(
        "--no-cache", action="store_true", help="build even if the engine is cached, and keep the output only"
    )
    add_uint8_input(parser)
    add_precision_options(parser)


def run(args: argparse.Namespace) -> int:
    """Build, write, and print one line on what was built; returns the exit code."""
    import inferkit

    network = load_model(args)
    options = _options(args)
    network = with_asked_input(at_precision(network, args), args)
    engine = inferkit.build(network, backend=args.backend, max_batch=args.max_batch, **options)
    if args.output is not None:
        if not backend(args.backend).facts.keeps_engine_files:
            raise UsageError(f"{args.backend} has no engine files: it builds an engine when a session is opened")
        engine.save(args.output)
    if args.json:
        where = args.output or engine.path
        info = {**asdict(engine.info), "details": dict(engine.info.details), "network": network.name}
        path = None if where is None else str(where)
        print_json({"network": network.name, "path": path, **info, "notes": list(network.notes)})
        return ExitCode.OK
    for note in network.notes:
        print(f"note: {note}")
    print(describe(engine, network, args.output))
    if share := engine.info.details.get("precision_share"):
        print(share)
    return ExitCode.OK


def _options(args: argparse.Namespace) -> dict[str, Any]:
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
        raise UsageError("--no-cache needs --output: the engine would be kept nowhere")
    given_uint8_options(args)
    return {name: value for name, value in options.items() if takes(args.backend, name, "build")}


def describe(engine: Engine, network: Network, output: str | None) -> str:
    """One line: network, precision, batch sizes, builder, size, build time and file."""
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
