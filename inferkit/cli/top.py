"""`inferkit top`: where the time of a batch goes, layer by layer, in ONNX Runtime."""

from __future__ import annotations

import argparse
import json

from inferkit.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = "exit codes: 0 shown · 1 cannot be read or run · 2 usage"
    parser.add_argument("model", metavar="MODEL", help="a prototxt, an ONNX model, or a network of the zoo")
    parser.add_argument("-w", "--weights", metavar="FILE", help="the caffemodel of a prototxt")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="images per batch (default: 1)")
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="batches to profile (default: 20)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: the physical cores)")
    parser.add_argument("-n", "--lines", type=int, default=20, metavar="N", help="layers to show, 0 for all (20)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Profile and print the slowest first; returns the exit code."""
    for name in ("batch_size", "runs", "threads"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(args, name)}")
    import inferkit
    from inferkit.backends.onnxruntime.backend import OnnxEngine
    from inferkit.measure.images import stand_in

    network = inferkit.load(*([args.model, args.weights] if args.weights else [args.model]))
    options = {} if args.threads is None else {"threads": args.threads}
    engine = inferkit.build(network, backend="onnxruntime", max_batch=args.batch_size, **options)
    assert isinstance(engine, OnnxEngine)
    images = {info.name: stand_in(info, args.batch_size) for info in network.inputs}
    times = sorted(engine.profile(images, runs=args.runs), key=lambda each: -each.seconds)
    total = sum(each.seconds for each in times)
    rows = [
        {"layer": each.node, "op": each.op, "seconds": each.seconds, "share": each.seconds / total if total else 0.0}
        for each in times
    ]
    if args.json:
        print(json.dumps({"network": network.name, "seconds": total, "layers": rows}, indent=1))
        return 0
    from inferkit.gate.outcome import seconds
    from inferkit.report.table import Column, stdout_look, table_lines

    columns = (
        Column("layer", "layer", str, left=True),
        Column("kind", "op", str, rank=1, left=True),
        Column("time", "seconds", lambda value: seconds(value) if value > 0 else "0"),
        Column("share", "share", "{:.1%}".format),
    )
    width, color = stdout_look()
    for line in table_lines(columns, rows[: args.lines or len(rows)], width, color):
        print(line)
    print(
        f"{network.name}, batch {args.batch_size}: {len(rows)} layers after optimizing, {seconds(total)} together; "
        "medians with the profiler on, which slows every layer a little"
    )
    return 0
