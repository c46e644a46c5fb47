"""`inferkit inspect`: the layers of a network, or what is known of an engine file."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from inferkit.errors import InferkitError
from inferkit.files import is_engine_file

if TYPE_CHECKING:
    from inferkit.backends.layer_table import LayerTable
    from inferkit.measure.layers.network_layers import Layer
    from inferkit.network.network import Network

_EXAMPLES = "H200, H100 PCIe, H100 80GB HBM3, A100-SXM4-80GB, L40S, L4, A10, T4, GeForce RTX 4090"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = "exit codes: 0 shown · 1 cannot be read · 2 usage"
    parser.add_argument("model", metavar="MODEL", help="a prototxt, an ONNX model, a network of the zoo, or an engine")
    parser.add_argument("-w", "--weights", metavar="FILE", help="the caffemodel of a prototxt")
    parser.add_argument("--batch-size", type=int, metavar="N", help="of the times and limits (1; an engine's least)")
    parser.add_argument("--gpu", metavar="NAME", help="whose limit (default: this machine's GPU): H100 PCIe, L4, …")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    check_batch(args.batch_size)
    info = engine_info(args.model) if args.weights is None else None
    if info is not None:
        batch = batch_for(args.batch_size, info)
        found = engine_table(args.model, batch)
        if args.json:
            table = None if isinstance(found, str) else [row.as_dict() for row in found]
            print(json.dumps({**info, "layers": table}, indent=1))
        else:
            _print_engine(info, found, batch)
        return 0
    import inferkit
    from inferkit.measure.layers.network_layers import layers_of, totals_of

    network = inferkit.load(*([args.model, args.weights] if args.weights else [args.model]))
    layers = layers_of(network)
    batch = batch_for(args.batch_size)
    totals, limit = totals_of(network, layers), _limit(network, batch, args.gpu)
    rows = [{**layer.as_dict(), "floor_seconds": _floor(layer, limit)} for layer in layers]
    if args.json:
        told = {"network": network.name, "precision": network.precision, "totals": asdict(totals), "limit": limit}
        print(json.dumps({**told, "layers": rows}, indent=1))
        return 0
    _print(network, rows, asdict(totals), limit, batch)
    return 0


def check_batch(asked: int | None) -> None:
    """UsageError for a --batch-size that is none."""
    from inferkit.errors import UsageError

    if asked is not None and asked < 1:
        raise UsageError(f"--batch-size {asked}: a batch holds at least one image")


def batch_for(asked: int | None, *engines: Mapping[str, Any]) -> int:
    """The batch asked for, else the smallest that all these engines (`engine_info`) may take; 1 without any."""
    return asked or max((info["profile"][0] for info in engines), default=1)


def engine_info(path: str) -> dict[str, Any] | None:
    """What lies beside an engine file, checked against it; None for no engine, EngineError for a damaged one."""
    from inferkit.backends import engine_backend

    if not is_engine_file(path):
        return None
    return {"engine": path, **engine_backend(path).read_info(path, verify=True)}


def engine_table(path: str, batch: int) -> LayerTable | str:
    """The engine's layers, as this machine runs them; why they are not known where it does not."""
    from inferkit.errors import InferkitError
    from inferkit.measure.layers.profile import profile_engine

    try:
        return profile_engine(path, batch=batch)
    except InferkitError as error:
        return str(error)


def _limit(network: Network, batch: int, gpu: str | None) -> dict[str, Any] | None:
    """The floor of one batch on the GPU that is named, or this machine's, where its data sheet is known."""
    from inferkit.errors import UsageError
    from inferkit.measure.layers.roofline import card_of, limit_of, work_of

    name = gpu or _own_gpu()
    card = card_of(name)
    if card is None:
        if gpu is not None:
            raise UsageError(f"--gpu {gpu}: its data sheet is not known; {_EXAMPLES} are")
        return None
    rates = {"peak_operations": dict(card.operations), "bandwidth": card.bandwidth}
    floor = limit_of(work_of(network), network.precision, batch, card).as_dict()
    return {"gpu": name, "batch_size": batch, **floor, **rates}


def _own_gpu() -> str | None:
    """The name of the GPU that this process would run on; None where there is none."""
    from inferkit.backends.gpus import find_gpu

    try:
        return find_gpu().name
    except InferkitError:
        return None


def _floor(layer: Layer, limit: dict[str, Any] | None) -> float | None:
    """Seconds that a layer takes at least at its precision: its operations, or reading its weights once."""
    if limit is None or not layer.operations:
        return None
    peak = limit["peak_operations"].get(layer.precision, limit["peak_operations"]["fp32"])
    return float(max(layer.operations * limit["batch_size"] / peak, layer.weight_bytes / limit["bandwidth"]))


def _print(
    network: Network, rows: list[dict[str, Any]], totals: dict[str, int], limit: dict[str, Any] | None, batch: int
) -> None:
    from inferkit.gate.units import seconds
    from inferkit.report.layers import shortened
    from inferkit.report.table import Column, stdout_look, table_lines

    columns = (
        Column("layer", "name", shortened, left=True),
        Column("kind", "op", str, rank=1, left=True),
        Column("output", "shape", lambda shape: "×".join(map(str, shape)), left=True),
        Column("precision", "precision", str, left=True),
        Column("parameters", "parameters", "{:,}".format),
        Column("MOP / image", "operations", lambda count: f"{count / 1e6:,.3f}", rank=2),
        Column("weights kB", "weight_bytes", lambda count: f"{count / 1e3:,.1f}", rank=3),
        Column("output kB", "output_bytes", lambda count: f"{count / 1e3:,.1f}", rank=4),
        Column("floor", "floor_seconds", seconds, rank=1),
    )
    print(f"{network.name}: {tensors_text(map(asdict, network.inputs))}")
    width, color = stdout_look()
    for line in table_lines(columns, rows, width, color):
        print(line)
    print(
        f"{totals['layers']} layers, {totals['parameters']:,} parameters, {totals['operations'] / 1e9:.4g} GOP per "
        f"image, weights {totals['weight_bytes'] / 1e6:.4g} MB, outputs {totals['output_bytes'] / 1e6:.4g} MB per image"
    )
    if limit is None:
        print(f"no GPU here whose data sheet is known, so no limit; --gpu NAME asks for another's: {_EXAMPLES}")
    else:
        floor = seconds(limit["seconds"])
        print(f"batch {batch} takes at least {floor} on {limit['gpu']}, bound by {limit['bound_by']}")


def _print_engine(info: dict[str, Any], layers: LayerTable | str, batch: int) -> None:
    """What the engine is, one fact a line, and its layers where this machine runs it."""
    from inferkit.gate.units import seconds, size
    from inferkit.report.layers import shortened
    from inferkit.report.table import Column, stdout_look, table_lines

    smallest, best, largest = info["profile"]
    batches = f"{largest} only" if smallest == largest else f"{smallest} to {largest}, best at {best}"
    known = defaultdict(lambda: None, info)  # a backend writes down what it has; these three every one does
    took = f", in {seconds(known['build_seconds'])}" if known["build_seconds"] is not None else ""
    facts = {
        "engine": info["engine"],
        "network": f"{info['network']} at {info['precision']}",
        "built by": f"{known['flavour'] or known['backend']} {known['version'] or ''}{took}",
        "runs on": None
        if known["targets"] is None
        else ", ".join(known["targets"]) or (known["gpu"] or {}).get("name") or "any GPU that this version supports",
        "size": known["size_bytes"] and f"{size(known['size_bytes'])} ({known['size_bytes']:,} bytes)",
        "batches": f"{batches}{', fixed in the graph' if known['static'] else ''}",
        "inputs": known["inputs"] and tensors_text(known["inputs"]),
        "outputs": known["outputs"] and tensors_text(known["outputs"]),
        "calibration": known["calibration"],
        "workspace": known["workspace_bytes"] and size(known["workspace_bytes"]),
        "graph": known["network_digest"] and known["network_digest"][:12],
        "SHA-256": known["sha256"],
    }
    for name, value in facts.items():
        if value is not None:
            print(f"{name + ':':<13}{value}")
    for warning in known["warnings"] or ():
        print(f"warning:     {warning}")
    if isinstance(layers, str):
        print(f"its layers are not shown: {layers}")
        return
    columns = (
        Column("layer", "name", shortened, left=True),
        Column("kind", "kind", str, rank=2, left=True),
        Column("precision", "precision", str, left=True),
        Column("kernel", "kernel", shortened, rank=3, left=True),
        Column("format", "format", shortened, rank=4, left=True),
        Column("time", "seconds", seconds),
    )
    width, color = stdout_look()
    print()
    for line in table_lines(columns, [row.__dict__ for row in layers], width, color):
        print(line)
    print(f"{len(layers)} layers as they run at batch {batch}, timed with the profiler on")


def tensors_text(told: Iterable[Mapping[str, Any]]) -> str:
    """Name, shape and type of inputs or outputs as JSON has them: `data N×3×224×224 float32`."""
    return ", ".join(
        f"{each['name']} {'×'.join(str(dim or 'N') for dim in each['shape'])} {each['dtype']}" for each in told
    )
