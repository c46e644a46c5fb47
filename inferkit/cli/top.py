"""`inferkit top`: where the time of a batch goes, layer by layer."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from inferkit.backends import DEFAULT_BACKEND
from inferkit.cli.backend_options import add_backend, check_taken
from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.backends.layer_table import LayerTable


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = "exit codes: 0 shown · 1 cannot be read or run · 2 usage"
    parser.add_argument("model", metavar="MODEL", help="a prototxt, an ONNX model, a network of the zoo, or an engine")
    parser.add_argument("-w", "--weights", metavar="FILE", help="the caffemodel of a prototxt")
    add_backend(parser, DEFAULT_BACKEND)
    parser.add_argument("--precision", metavar="P", help="bring the network to this precision first")
    parser.add_argument("--batch-size", type=int, metavar="N", help="images per batch (1; an engine's least)")
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="batches to profile (default: 20)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the backend (default: the physical cores)")
    parser.add_argument("-n", "--lines", type=int, default=20, metavar="N", help="layers to show, 0 for all (20)")
    parser.add_argument("--json", action="store_true", help="print JSON, which `inferkit diff` compares")


def run(args: argparse.Namespace) -> int:
    """Profile and print the slowest first; returns the exit code."""
    for name in ("batch_size", "runs", "threads"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(args, name)}")
    name, batch, table = _profile(args)
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
        told = {"network": name, "batch_size": batch, "seconds": total, "layers": rows}
        print(json.dumps({**told, "table": [row.as_dict() for row in table]}, indent=1))
        return 0
    _print(args, f"{name}, batch {batch}", rows, total)
    return 0


def _profile(args: argparse.Namespace) -> tuple[str, int, LayerTable]:
    """What was profiled, at which batch, and its layers."""
    import inferkit
    from inferkit.cli.inspect import batch_for, engine_info
    from inferkit.measure.images import ImageSource
    from inferkit.measure.layers.profile import profile_engine, profile_network
    from inferkit.precision import normalize

    info = engine_info(args.model) if args.weights is None else None
    if info is not None:
        if args.precision or args.threads:
            raise UsageError("an engine is what it was built as: leave out --precision and --threads")
        batch = batch_for(args.batch_size, info)
        return f"{info['network']} {info['precision']}", batch, profile_engine(args.model, batch=batch, runs=args.runs)
    if args.threads is not None:
        check_taken("threads", args.backend, "threads", "build")
    network = inferkit.load(*([args.model, args.weights] if args.weights else [args.model]))
    precision = normalize(args.precision) if args.precision else network.precision
    if precision != network.precision:
        images = ImageSource(network, None, {}).calibration(100) if precision in ("int8", "fp8") else None
        network = inferkit.at_precision(network, precision, calibration=images)
    options = {} if args.threads is None else {"threads": args.threads}
    batch = batch_for(args.batch_size)
    table = profile_network(network, args.backend, batch=batch, runs=args.runs, **options)
    return f"{network.name} {precision}", batch, table


def _print(args: argparse.Namespace, name: str, rows: list[dict[str, Any]], total: float) -> None:
    from inferkit.gate.units import seconds
    from inferkit.report.layers import shortened
    from inferkit.report.table import Column, stdout_look, table_lines

    columns = (
        Column("layer", "layer", shortened, left=True),
        Column("kind", "op", str, rank=2, left=True),
        Column("precision", "precision", str, rank=1, left=True),
        Column("kernel", "kernel", shortened, rank=4, left=True),
        Column("with", "with", str, rank=3, left=True),
        Column("time", "seconds", lambda value: seconds(value) if value > 0 else "0"),
        Column("share", "share", "{:.1%}".format),
    )
    shown = rows[: args.lines or len(rows)]
    for row in shown:
        fused = [layer for layer in row["computes"] if layer != row["layer"]]
        row["with"] = shortened(", ".join(fused)) if fused else None
        row["kernel"] = None if row["kernel"] in ("", row["op"]) else row["kernel"]
    width, color = stdout_look()
    for line in table_lines(columns, shown, width, color):
        print(line)
    left = f", {len(rows) - len(shown)} not shown" if len(shown) < len(rows) else ""
    print(f"{name}: {len(rows)} layers as they run{left}, {seconds(total)} together")
    print("timed with the profiler on, which slows every layer a little: compare layers with layers")
