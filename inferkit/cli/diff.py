"""`inferkit diff`: what differs between two networks, two engines, or two runs."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.errors import UsageError

if TYPE_CHECKING:
    from inferkit.measure.layers import Layer

_SHOWN = ("op", "shape", "precision", "parameters", "operations", "weight_bytes")
# Of an engine, what is not a property of what was built but of when.
_INCIDENTAL = ("engine", "build_seconds")


@dataclass(frozen=True)
class Difference:
    """One thing that differs; None on the side that does not have it."""

    where: str
    what: str
    here: Any
    there: Any

    @property
    def line(self) -> str:
        """The line to print."""
        if self.what == "layer":
            only = "the first" if self.there is None else "the second"
            return f"{self.where}: only in {only} ({self.here or self.there})"
        if self.what == "weights":
            return f"{self.where}: other weights"
        return f"{self.where}: {self.what} {_text(self.here)} -> {_text(self.there)}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = (
        "exit codes: 0 the same · 1 different · 2 usage, or cannot be read · for runs those of `inferkit compare`"
    )
    parser.add_argument("first", metavar="A", help="a model, an engine file, or a benchmark JSON")
    parser.add_argument("second", metavar="B", help="another of the same kind")
    parser.add_argument("--first-weights", metavar="FILE", help="the caffemodel of A, where that is a prototxt")
    parser.add_argument("--second-weights", metavar="FILE", help="the caffemodel of B, where that is a prototxt")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the differences; returns the exit code."""
    from inferkit.cli.inspect import engine_info

    files = (args.first, args.second)
    runs = [_is_run(name) for name in files]
    if all(runs):
        from inferkit.cli.main import main

        return main(["compare", *files, *(["--json"] if args.json else [])])
    engines = [engine_info(name) for name in files]
    if any(runs) or (engines[0] is None) != (engines[1] is None):
        raise UsageError(f"{args.first} and {args.second} are of different kinds: two models, engines or runs")
    if engines[0] is not None and engines[1] is not None:
        found = [
            Difference("engine", name, engines[0].get(name), engines[1].get(name))
            for name in dict.fromkeys([*engines[0], *engines[1]])
            if name not in _INCIDENTAL and engines[0].get(name) != engines[1].get(name)
        ]
    else:
        found = _networks(args)
    if args.json:
        print(json.dumps([difference.__dict__ for difference in found], indent=1))
    else:
        print("\n".join(difference.line for difference in found) or "no difference")
    return 1 if found else 0


def _is_run(name: str) -> bool:
    return Path(name).suffix.lower() == ".json" and Path(name).is_file()


def _networks(args: argparse.Namespace) -> list[Difference]:
    import inferkit
    from inferkit.measure.layers import layers_of

    first, second = (
        inferkit.load(*([name, weights] if weights else [name]))
        for name, weights in ((args.first, args.first_weights), (args.second, args.second_weights))
    )
    found = [
        Difference("network", what, _infos(here), _infos(there))
        for what, here, there in (
            ("inputs", first.inputs, second.inputs),
            ("outputs", first.outputs, second.outputs),
        )
        if here != there
    ]
    return found + differences(layers_of(first, digests=True), layers_of(second, digests=True))


def _infos(infos: Any) -> list[str]:
    return [f"{info.name} {info.dtype} {'×'.join(str(dim or 'N') for dim in info.shape)}" for info in infos]


def differences(first: tuple[Layer, ...], second: tuple[Layer, ...]) -> list[Difference]:
    """Layer by layer, by name; of layers in both each property that differs."""
    here, there = ({layer.name: layer for layer in layers} for layers in (first, second))
    found = []
    for name in dict.fromkeys([*here, *there]):
        one, other = here.get(name), there.get(name)
        if one is None or other is None:
            found.append(Difference(name, "layer", one.op if one else None, other.op if other else None))
            continue
        changed = [
            Difference(name, key, getattr(one, key), getattr(other, key))
            for key in _SHOWN
            if getattr(one, key) != getattr(other, key)
        ]
        if not changed and one.weights != other.weights:
            changed = [Difference(name, "weights", one.weights, other.weights)]
        found += changed
    return found


def _text(value: Any) -> str:
    if value is None:
        return "not known"
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)
