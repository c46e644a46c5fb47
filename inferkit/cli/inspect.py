"""`inferkit inspect`: the layers of a network, or the metadata and layers of an engine file."""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from inferkit.cli.engine_facts import batch_for, engine_info, engine_table, tensors_text
from inferkit.cli.model_options import add_model, given_dimensions, load_model
from inferkit.cli.option_types import at_least_one
from inferkit.cli.output import add_json, print_json, print_table
from inferkit.errors import InferkitError, UsageError
from inferkit.exit_codes import ExitCode

if TYPE_CHECKING:
    from inferkit.backends.layer_table import LayerTable
    from inferkit.measure.layers.network_layers import Layer
    from inferkit.network.network import Network

_EXAMPLES = "H200, H100 PCIe, H100 80GB HBM3, A100-SXM4-80GB, L40S, L4, A10, T4, GeForce RTX 4090"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_model(parser, or_engine=True)
    parser.add_argument(
        "--batch-size",
        type=at_least_one,
        metavar="N",
        help="batch size of times and lower bounds (default: 1, or the engine's smallest)",
    )
    parser.add_argument(
        "--gpu", metavar="NAME", help="GPU of the lower bounds, such as H100 PCIe or L4 (default: this machine's)"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    info = engine_info(args.model) if args.weights is None else None
    if info is not None:
        if given_dimensions(args):
            raise UsageError(f"{args.model} is an engine file: {', '.join(given_dimensions(args))} cannot change it")
        batch = batch_for(args.batch_size, info)
        table = engine_table(args.model, batch)
        if args.json:
            print_json({**info, "layers": None if isinstance(table, str) else [row.as_dict() for row in table]})
        else:
            _print_engine(info, table, batch)
        return ExitCode.OK
    from inferkit.measure.layers.network_layers import layers_of, remarks_on, totals_of

    network = load_model(args)
    layers = layers_of(network)
    batch = batch_for(args.batch_size)
    unsized = _open_sizes(network)
    totals, limit = asdict(totals_of(network, layers)), None if unsized else _limit(network, batch, args.gpu)
    if unsized:  # what could be counted would be taken for the whole
        totals |= {"operations": None, "output_bytes": None}
    rows = [{**layer.as_dict(), "floor_seconds": _floor(layer, limit)} for layer in layers]
    remarks = [*unsized, *remarks_on(network)]
    if args.json:
        content = {"network": network.name, "precision": network.precision, "totals": totals, "limit": limit}
        print_json({**content, "remarks": remarks, "layers": rows})
    else:
        _print(network, rows, totals, limit, batch)
        for remark in remarks:
            print(f"note: {remark}")
    return ExitCode.OK


def _open_sizes(network: Network) -> list[str]:
    """What has to be stated before all work can be counted."""
    from inferkit.network.open_dimensions import require_sizes

    try:
        require_sizes(network.inputs)
    except UsageError as error:
        return [str(error)]
    return []


def _limit(network: Network, batch: int, gpu: str | None) -> dict[str, Any] | None:
    """The lower bound of one batch on the named GPU, or this machine's; None where its data sheet is not known."""
    from inferkit.measure.layers.roofline import card_of, limit_of, work_of

    name = gpu or _own_gpu()
    card = card_of(name)
    if card is None:
        if gpu is not None:
            raise UsageError(f"--gpu {gpu}: unknown data sheet; known are {_EXAMPLES}")
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
    network: Network, rows: list[dict[str, Any]], totals: dict[str, Any], limit: dict[str, Any] | None, batch: int
) -> None:
    from inferkit.gate.units import seconds
    from inferkit.report.layers import shortened
    from inferkit.report.table import Column

    columns = (
        Column("layer", "name", shortened, left=True),
        Column("kind", "op", str, rank=1, left=True),
        Column("output", "shape", lambda shape: "×".join(map(str, shape)), left=True),
        Column("precision", "precision", str, left=True),
        Column("parameters", "parameters", "{:,}".format),
        Column("MOP / image", "operations", lambda count: f"{count / 1e6:,.3f}", rank=2),
        Column("weights kB", "weight_bytes", lambda count: f"{count / 1e3:,.1f}", rank=3),
        Column("output kB", "output_bytes", lambda count: f"{count / 1e3:,.1f}", rank=4),
        Column("lower bound", "floor_seconds", seconds, rank=1),
    )
    unsized = totals["operations"] is None
    work = "operations not known (open sizes)" if unsized else f"{totals['operations'] / 1e9:.4g} GOP per image"
    outputs = "" if unsized else f", outputs {totals['output_bytes'] / 1e6:.4g} MB per image"
    print(f"{network.name}: {tensors_text(map(asdict, network.inputs))}")
    print_table(columns, rows)
    print(
        f"{totals['layers']} layers, {totals['parameters']:,} parameters, {work}, "
        f"weights {totals['weight_bytes'] / 1e6:.4g} MB{outputs}"
    )
    if unsized:
        return
    if limit is None:
        print(f"no lower bounds, since no GPU with a known data sheet was found; name one with --gpu: {_EXAMPLES}")
    else:
        floor = seconds(limit["seconds"])
        print(f"batch {batch} takes at least {floor} on {limit['gpu']}, bound by {limit['bound_by']}")


def _print_engine(info: dict[str, Any], layers: LayerTable | str, batch: int) -> None:
    """What the engine is, one fact a line, and its layers where this machine runs it."""
    from inferkit.gate.units import seconds, size
    from inferkit.report.layers import shortened
    from inferkit.report.table import Column

    smallest, best, largest = info["profile"]
    batches = f"{largest} only" if smallest == largest else f"{smallest} to {largest}, optimized for {best}"
    facts = defaultdict(lambda: None, info)  # a backend writes down what it has; these three every one does
    took = f", in {seconds(facts['build_seconds'])}" if facts["build_seconds"] is not None else ""
    lines = {
        "engine": info["engine"],
        "network": f"{info['network']} at {info['precision']}",
        "built by": f"{facts['flavour'] or facts['backend']} {facts['version'] or ''}{took}",
        "runs on": None
        if facts["targets"] is None
        else ", ".join(facts["targets"]) or (facts["gpu"] or {}).get("name") or "any GPU that this version supports",
        "size": facts["size_bytes"] and f"{size(facts['size_bytes'])} ({facts['size_bytes']:,} bytes)",
        "batch sizes": f"{batches}{', fixed in the graph' if facts['static'] else ''}",
        "inputs": facts["inputs"] and tensors_text(facts["inputs"]),
        "outputs": facts["outputs"] and tensors_text(facts["outputs"]),
        "calibration": facts["calibration"],
        "comparison": facts["comparison"] or None,
        "precision": facts["precision_share"] or None,
        "workspace": facts["workspace_bytes"] and size(facts["workspace_bytes"]),
        "graph": facts["network_digest"] and facts["network_digest"][:12],
        "SHA-256": facts["sha256"],
    }
    for name, value in lines.items():
        if value is not None:
            print(f"{name + ':':<13}{value}")
    for warning in facts["warnings"] or ():
        print(f"warning:     {warning}")
    if isinstance(layers, str):
        print(f"layers are not shown: {layers}")
        return
    columns = (
        Column("layer", "name", shortened, left=True),
        Column("kind", "kind", str, rank=2, left=True),
        Column("precision", "precision", str, left=True),
        Column("kernel", "kernel", shortened, rank=3, left=True),
        Column("format", "format", shortened, rank=4, left=True),
        Column("time", "seconds", seconds),
    )
    print()
    print_table(columns, [row.__dict__ for row in layers])
    print(f"{len(layers)} layers as executed at batch {batch}, timed with the profiler on")
