"""`inferkit top`: the time of each layer in one batch, slowest first."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from inferkit.backends import DEFAULT_BACKEND
from inferkit.cli.backend_options import add_backend, check_taken
from inferkit.cli.engine_facts import batch_for, engine_info
from inferkit.cli.model_options import PRECISIONS, add_model, given_dimensions, load_model
from inferkit.cli.option_types import at_least_one
from inferkit.cli.output import add_json, print_json, print_table
from inferkit.errors import UsageError
from inferkit.exit_codes import ExitCode

if TYPE_CHECKING:
    from inferkit.backends.layer_table import LayerTable
    from inferkit.network.network import Network


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_model(parser, or_engine=True)
    add_backend(parser, DEFAULT_BACKEND)
    parser.add_argument("--precision", metavar="P", help=f"{PRECISIONS} (default: the network's)")
    parser.add_argument(
        "--batch-size", type=at_least_one, metavar="N", help="images per batch (default: 1, or the engine's smallest)"
    )
    parser.add_argument(
        "--runs", type=at_least_one, default=20, metavar="N", help="batches to profile (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=at_least_one, metavar="N", help="threads of the backend (default: the physical cores)"
    )
    parser.add_argument(
        "-n", "--lines", type=int, default=20, metavar="N", help="layers to show, 0 for all (default: %(default)s)"
    )
    add_json(parser, "print JSON, which `inferkit diff` can compare")


def run(args: argparse.Namespace) -> int:
    """Profile and print the slowest first; returns the exit code."""
    name, batch, table, notes = _profile(args)
    timed = sorted((row for row in table if row.seconds is not None), key=lambda row: -(row.seconds or 0.0))
    total = sum(row.seconds or 0.0 for row in timed)
    rows = [
        {
            "layer": row.name,
            "op": row.kind,
            "seconds": row.seconds,
            "share": (row.seconds or 0.0) / total if total else 0.0,
            "precision": row.precision,
            "kernel": row.kernel,
            "computes": list(row.origins),
        }
        for row in timed
    ]
    if args.json:
        content = {"network": name, "batch_size": batch, "seconds": total, "layers": rows}
        print_json({**content, "table": [row.as_dict() for row in table]})
    else:
        _print(args, f"{name}, batch {batch}", rows, total)
        for note in notes:
            print(f"note: {note}")
    return ExitCode.OK


def _profile(args: argparse.Namespace) -> tuple[str, int, LayerTable, tuple[str, ...]]:
    """What was profiled, at which batch size, its layers, and notes on the network."""
    import inferkit
    from inferkit.measure.images import ImageSource
    from inferkit.measure.layers.profile import profile_engine, profile_network
    from inferkit.precision import normalize

    info = engine_info(args.model) if args.weights is None else None
    if info is not None:
        if args.precision or args.threads or given_dimensions(args):
            raise UsageError(
                f"{args.model} is an engine file: --precision, --threads, --input-shape and --batch-axis do not apply"
            )
        batch = batch_for(args.batch_size, info)
        table = profile_engine(args.model, batch=batch, runs=args.runs)
        return f"{info['network']} {info['precision']}", batch, table, ()
    if args.threads is not None:
        check_taken("threads", args.backend, "threads", "build")
    network = load_model(args)
    precision = normalize(args.precision) if args.precision else network.precision
    if precision != network.precision:
        images = ImageSource(network, None, {}).calibration(100) if precision in ("int8", "fp8") else None
        network = inferkit.at_precision(network, precision, calibration=images)
    options = {} if args.threads is None else {"threads": args.threads}
    batch = _batch_of(network, args.batch_size)
    table = profile_network(network, args.backend, batch=batch, runs=args.runs, **options)
    return f"{network.name} {precision}", batch, table, network.notes


def _batch_of(network: Network, wanted: int | None) -> int:
    """The batch size wanted, else the one that the network is fixed to, else 1. UsageError where it takes another."""
    fixed = next((info.batch for info in network.inputs if info.batch is not None), None)
    if wanted is not None and fixed not in (None, wanted):
        raise UsageError(f"{network.name} takes batches of {fixed} only: leave out --batch-size, or give {fixed}")
    return wanted or fixed or 1


def _print(args: argparse.Namespace, name: str, rows: list[dict[str, Any]], total: float) -> None:
    from inferkit.gate.units import seconds
    from inferkit.report.layers import shortened
    from inferkit.report.table import Column

    columns = (
        Column("layer", "layer", shortened, left=True),
        Column("kind", "op", str, rank=2, left=True),
        Column("precision", "precision", str, rank=1, left=True),
        Column("kernel", "kernel", shortened, rank=4, left=True),
        Column("fused with", "with", str, rank=3, left=True),
        Column("time", "seconds", lambda value: seconds(value) if value > 0 else "0"),
        Column("share", "share", "{:.1%}".format),
    )
    shown = rows[: args.lines or len(rows)]
    for row in shown:
        fused = [layer for layer in row["computes"] if layer != row["layer"]]
        row["with"] = shortened(", ".join(fused)) if fused else None
        row["kernel"] = None if row["kernel"] in ("", row["op"]) else row["kernel"]
    print_table(columns, shown)
    rest = f", {len(rows) - len(shown)} not shown" if len(shown) < len(rows) else ""
    print(f"{name}: {len(rows)} layers as executed{rest}, {seconds(total)} in total")
    print("the profiler slows every layer a little: compare these times with each other only")
