"""`inferkit zoo`: the networks that can be loaded by name, and their Caffe files."""

from __future__ import annotations

import argparse
import sys

from inferkit.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="networks to write; all are listed without any")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        help="write NAME.prototxt and NAME.caffemodel here (a folder, made if needed)",
    )


def run(args: argparse.Namespace) -> int:
    """List the zoo, or the networks named; with -o write their files."""
    from inferkit.network import zoo

    for name in args.names:
        zoo.is_trained(name)  # an unknown name is refused before anything is written
    if args.output is None:
        _list(args.names or zoo.names())
        return 0
    if not args.names:
        raise UsageError("say which networks to write: inferkit zoo NAME... -o FOLDER")
    for name in args.names:
        try:
            for path in zoo.write(name, args.output):
                print(path)
        except OSError as error:
            raise UsageError(f"{name} cannot be written to {args.output}: {error}") from error
    return 0


def _list(names: list[str] | tuple[str, ...]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from inferkit.network import zoo

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("network", no_wrap=True)
    table.add_column("input (C×H×W)", no_wrap=True)
    for heading in ("classes", "parameters (M)", "GMAC / image"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("weights", no_wrap=True)
    for name in names:
        net = zoo.build(name)
        classes = net.shapes["prob"][0]
        table.add_row(
            name,
            "×".join(map(str, net.shapes["data"])),
            str(classes),
            f"{net.parameters / 1e6:.2f}",
            f"{net.macs / 1e9:.3f}",
            _weights(name),
        )
    # Not a terminal: nobody sees a border that fits, but a script reads lines that are not folded.
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _weights(name: str) -> str:
    from inferkit.network import zoo

    if not zoo.is_trained(name):
        return "made up"
    card = zoo.card(name)
    return f"trained on {card['dataset']}, top-1 {card['accuracy']['caffe']['top1']:.2%}"
