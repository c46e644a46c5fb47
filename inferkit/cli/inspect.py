"""`inferkit inspect`: the layers of a network, or what is known of an engine file."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferkit.measure.layers import Layer
    from inferkit.network.network import Network


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = "exit codes: 0 shown · 1 cannot be read · 2 usage"
    parser.add_argument("model", metavar="MODEL", help="a prototxt, an ONNX model, a network of the zoo, or an engine")
    parser.add_argument("-w", "--weights", metavar="FILE", help="the caffemodel of a prototxt")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="for the hardware's limit (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    from inferkit.errors import UsageError

    if args.batch_size < 1:
        raise UsageError(f"--batch-size {args.batch_size}: a batch holds at least one image")
    info = engine_info(args.model) if args.weights is None else None
    if info is not None:
        print(json.dumps(info, indent=1) if args.json else "\n".join(f"{name}: {_text(v)}" for name, v in info.items()))
        return 0
    import inferkit
    from inferkit.measure.layers import layers_of, totals_of

    network = inferkit.load(*([args.model, args.weights] if args.weights else [args.model]))
    layers = layers_of(network)
    totals, limit = totals_of(network, layers), _limit(network, args.batch_size)
    if args.json:
        told = {"network": network.name, "precision": network.precision, "totals": asdict(totals), "limit": limit}
        print(json.dumps({**told, "layers": [layer.as_dict() for layer in layers]}, indent=1))
        return 0
    _print(network, layers, asdict(totals), limit, args.batch_size)
    return 0


def engine_info(path: str) -> dict[str, Any] | None:
    """What lies beside an engine file, checked against it; None for no engine, EngineError for a damaged one."""
    from inferkit.backends.tensorrt.plan import info_path, read_plan

    if not Path(path).is_file() or not info_path(path).exists() or Path(path).suffix.lower() in (".onnx", ".prototxt"):
        return None
    return {"engine": path, **json.loads(read_plan(path).info.to_json())}


def _limit(network: Network, batch: int) -> dict[str, Any] | None:
    """The floor of one batch on this machine's GPU, where its data sheet is known."""
    from inferkit.measure.limits import card_of, limit_of, work_of
    from inferkit.measure.telemetry import GpuTelemetry

    name = GpuTelemetry(0).facts().get("name")
    card = card_of(name)
    if card is None:
        return None
    return {"gpu": name, "batch_size": batch, **limit_of(work_of(network), network.precision, batch, card).as_dict()}


def _print(
    network: Network, layers: tuple[Layer, ...], totals: dict[str, int], limit: dict[str, Any] | None, batch: int
) -> None:
    from inferkit.gate.outcome import seconds
    from inferkit.report.table import Column, stdout_look, table_lines

    columns = (
        Column("layer", "name", str, left=True),
        Column("kind", "op", str, left=True),
        Column("output", "shape", lambda shape: "×".join(map(str, shape)), rank=1, left=True),
        Column("precision", "precision", str, left=True),
        Column("parameters", "parameters", "{:,}".format),
        Column("MOP / image", "operations", lambda count: f"{count / 1e6:,.3f}", rank=1),
        Column("weights kB", "weight_bytes", lambda count: f"{count / 1e3:,.1f}", rank=2),
        Column("output kB", "output_bytes", lambda count: f"{count / 1e3:,.1f}", rank=3),
    )
    inputs = ", ".join(f"{i.name} {'×'.join(str(d or 'N') for d in i.shape)} {i.dtype}" for i in network.inputs)
    print(f"{network.name}: {inputs}")
    width, color = stdout_look()
    for line in table_lines(columns, [layer.as_dict() for layer in layers], width, color):
        print(line)
    print(
        f"{totals['layers']} layers, {totals['parameters']:,} parameters, {totals['operations'] / 1e9:.4g} GOP per "
        f"image, weights {totals['weight_bytes'] / 1e6:.4g} MB, outputs {totals['output_bytes'] / 1e6:.4g} MB per image"
    )
    if limit is None:
        print("the hardware's limit is not known: no GPU here whose data sheet is")
    else:
        floor = seconds(limit["seconds"])
        print(f"batch {batch} takes at least {floor} on {limit['gpu']}, bound by {limit['bound_by']}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
