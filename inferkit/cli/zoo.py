"""`inferkit zoo`: the built-in networks, which are loaded by name, and their Caffe files."""

from __future__ import annotations

import argparse
from typing import Any

from inferkit.cli.output import add_json, print_json, print_table
from inferkit.errors import UsageError
from inferkit.exit_codes import ExitCode


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    add_json(parser)
    parser.add_argument("names", metavar="NAME", nargs="*", help="networks to list or write (default: list all)")
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", help="write NAME.prototxt and NAME.caffemodel to this folder"
    )


def run(args: argparse.Namespace) -> int:
    """List the zoo, or the networks named; with -o write their files."""
    from inferkit.network import zoo

    for name in args.names:
        zoo.is_trained(name)  # an unknown name is refused before anything is written
    if args.output is None:
        rows = [_row(name) for name in args.names or zoo.names()]
        if args.json:
            print_json(rows)
        else:
            _list(rows)
        return ExitCode.OK
    if not args.names:
        raise UsageError("name the networks to write: inferkit zoo NAME... -o FOLDER")
    paths: list[str] = []
    for name in args.names:
        try:
            paths += map(str, zoo.write(name, args.output))
        except OSError as error:
            raise UsageError(f"{name} cannot be written to {args.output}: {error}") from error
    if args.json:
        print_json(paths)
    else:
        print("\n".join(paths))
    return ExitCode.OK


def _row(name: str) -> dict[str, Any]:
    """A network's facts: its `input` (C×H×W), `macs` (multiply-accumulates for an image) and others."""
    from inferkit.network import zoo

    net = zoo.build(name)
    return {
        "name": name,
        "input": list(net.shapes["data"]),
        "classes": net.shapes["prob"][0],
        "parameters": net.parameters,
        "macs": net.macs,
        "weights": _weights(name),
    }


def _list(rows: list[dict[str, Any]]) -> None:
    from inferkit.report.table import Column

    columns = (
        Column("network", "name", str, left=True),
        Column("input (C×H×W)", "input", lambda shape: "×".join(map(str, shape)), rank=1, left=True),
        Column("classes", "classes", str, rank=1),
        Column("parameters (M)", "parameters", lambda count: f"{count / 1e6:.2f}"),
        Column("GMAC / image", "macs", lambda count: f"{count / 1e9:.3f}"),
        Column("weights", "weights", str, left=True),
    )
    print_table(columns, rows)


def _weights(name: str) -> str:
    from inferkit.network import zoo

    if not zoo.is_trained(name):
        return "random"
    card = zoo.card(name)
    return f"trained on {card['dataset']}, top-1 {card['accuracy']['caffe']['top1']:.2%}"
