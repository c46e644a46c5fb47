"""`inferkit import`: convert a Caffe model to an ONNX file, or fix the shapes of an ONNX model, and print a summary."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.cli.model_options import add_dimensions, stated_dimensions
from inferkit.cli.output import add_json, print_json
from inferkit.errors import NetworkError
from inferkit.exit_codes import ExitCode

if TYPE_CHECKING:
    from inferkit.network.network import Network, TensorInfo


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `inferkit import`."""
    parser.add_argument(
        "prototxt",
        metavar="PROTOTXT",
        help="network: a deploy or train_val prototxt, also an old one; or an ONNX model",
    )
    parser.add_argument(
        "caffemodel",
        metavar="CAFFEMODEL",
        nargs="?",
        help="trained weights; without them every learned blob needs a constant or bilinear filler",
    )
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="ONNX file to write")
    parser.add_argument("--name", help="name of the network (default: the name in the prototxt, else the file's)")
    parser.add_argument(
        "--phase", choices=("TEST", "TRAIN"), default="TEST", help="phase of the layers (default: %(default)s)"
    )
    parser.add_argument(
        "--level", type=int, default=0, help="level for include and exclude rules (default: %(default)s)"
    )
    parser.add_argument(
        "--stage",
        action="append",
        default=[],
        metavar="STAGE",
        help="stage for include and exclude rules; repeatable",
    )
    add_dimensions(parser)
    add_json(parser, "print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Import, write, print the summary; returns the exit code."""
    import inferkit
    from inferkit.network.onnx_file import write_onnx

    network = inferkit.load(
        Path(args.prototxt),
        args.caffemodel,
        name=args.name,
        phase=args.phase,
        level=args.level,
        stages=args.stage,
        **stated_dimensions(args),
    )
    try:
        files = write_onnx(network.model, args.output)
    except OSError as error:
        raise NetworkError(f"{args.output} cannot be written: {error}") from None
    summary = summarize(network, files)
    if args.json:
        print_json(summary)
    else:
        print(_as_text(summary))
    return ExitCode.OK


def summarize(network: Network, files: list[Path]) -> dict[str, Any]:
    """What was imported: names and shapes (None: free), counts of nodes by type, learned numbers, files, notes."""
    import math
    from collections import Counter

    graph = network.model.graph
    return {
        "name": network.name,
        "inputs": [_tensor(info) for info in network.inputs],
        "outputs": [_tensor(info) for info in network.outputs],
        "nodes": dict(sorted(Counter(node.op_type for node in graph.node).items())),
        "parameters": sum(math.prod(tensor.dims) for tensor in graph.initializer if tensor.data_type == tensor.FLOAT),
        "files": [{"path": str(file), "bytes": file.stat().st_size} for file in files],
        "notes": list(network.notes),
    }


def _tensor(info: TensorInfo) -> dict[str, Any]:
    return {"name": info.name, "type": info.dtype, "shape": list(info.shape)}


def _as_text(summary: dict[str, Any]) -> str:
    lines = [summary["name"]]
    for kind in ("inputs", "outputs"):
        for place, tensor in enumerate(summary[kind]):
            shape = " x ".join("N" if size is None else str(size) for size in tensor["shape"]) or "scalar"
            lines.append(f"  {kind if place == 0 else '':<11}{tensor['name']}: {tensor['type']} {shape}")
    counts = ", ".join(f"{count} {op}" for op, count in sorted(summary["nodes"].items(), key=lambda item: -item[1]))
    lines.append(f"  {'nodes':<11}{sum(summary['nodes'].values())}: {counts}")
    lines.append(f"  {'parameters':<11}{summary['parameters']:,}")
    lines += [f"  {'file':<11}{file['path']} ({file['bytes']:,} bytes)" for file in summary["files"]]
    lines += [f"  {'note':<11}{note}" for note in summary["notes"]]
    return "\n".join(lines)
