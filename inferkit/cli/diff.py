"""`inferkit diff`: what differs between two networks, two engines, or two runs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.errors import UsageError
from inferkit.gate.layer_diff import LayerDiff, diff_layers

if TYPE_CHECKING:
    from inferkit.measure.layers.network_layers import Layer, Source
    from inferkit.measure.layers.table import LayerTable
    from inferkit.network.network import Network

_SHOWN = ("op", "shape", "precision", "parameters", "operations", "weight_bytes")
# Of an engine, what is not a property of what was built but of when.
_INCIDENTAL = ("engine", "build_seconds")
_DIGESTS = ("network_digest", "sha256")
_MOST_LAYERS = 12


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
    kinds = "a model, an engine file, a benchmark JSON, or what `inferkit top --json` printed"
    parser.add_argument("first", metavar="A", help=kinds)
    parser.add_argument("second", metavar="B", help="another of the same kind")
    parser.add_argument("--first-weights", metavar="FILE", help="the caffemodel of A, where that is a prototxt")
    parser.add_argument("--second-weights", metavar="FILE", help="the caffemodel of B, where that is a prototxt")
    parser.add_argument("--times", action="store_true", help="of models: time both in ONNX Runtime, layer by layer")
    parser.add_argument("--batch-size", type=int, metavar="N", help="for the times (1; what both engines take)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the differences; returns the exit code."""
    from inferkit.cli.inspect import batch_for, check_batch, engine_info

    check_batch(args.batch_size)
    files = (args.first, args.second)
    runs = [_is_run(name) for name in files]
    if all(runs):
        profiles = [_profile(name) for name in files]
        if profiles[0] is not None and profiles[1] is not None:
            return _tell(args, [], diff_layers(profiles[0], profiles[1]), "")
        from inferkit.cli.main import main

        return main(["compare", *files, *(["--json"] if args.json else [])])
    engines = [engine_info(name) for name in files]
    if any(runs) or (engines[0] is None) != (engines[1] is None):
        raise UsageError(f"{args.first} and {args.second} are of different kinds: two models, engines or runs")
    if engines[0] is not None and engines[1] is not None:
        batch = batch_for(args.batch_size, engines[0], engines[1])
        return _tell(args, _engines(engines[0], engines[1]), *_engine_layers(files, batch))
    found, networks = _networks(args)
    layers = None
    if args.times:
        from inferkit.measure.layers.profile import profile_network

        layers = diff_layers(*(profile_network(each, batch=batch_for(args.batch_size)) for each in networks))
    return _tell(args, found, layers, "")


def _tell(args: argparse.Namespace, found: list[Difference], layers: LayerDiff | None, remark: str) -> int:
    """Print what was found; 1 where anything but layers' times differs."""
    differs = bool(found) or (layers is not None and bool(layers.altered))
    if args.json:
        told = [difference.__dict__ for difference in found]
        print(json.dumps({"differences": told, "layers": None if layers is None else layers.as_dict()}, indent=1))
        return int(differs)
    for difference in found:
        print(difference.line)
    if not differs:
        print("no difference" if layers is None or not layers.changes else "no difference but in time")
    if layers is not None and layers.changes:
        from inferkit.report.layers import WHY, layer_lines
        from inferkit.report.table import stdout_look

        width, color = stdout_look()
        lines = layer_lines("both", {WHY: layers.as_dict()}, most=_MOST_LAYERS, width=width, color=color)
        print("\n".join([*([""] if found or not differs else []), *lines]))
        told_of_all = layers.summary()
        if told_of_all:
            print(told_of_all)
    if remark:
        print(remark)
    return int(differs)


def _is_run(name: str) -> bool:
    return Path(name).suffix.lower() == ".json" and Path(name).is_file()


def _profile(path: str) -> LayerTable | None:
    """The layer table in a file that `inferkit top --json` printed; None for another file."""
    from inferkit.measure.layers.table import table_from

    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # whoever reads it as a run says what is wrong with it
    if not isinstance(told, dict) or "table" not in told or "benchmarks" in told:
        return None
    try:
        return table_from(told["table"])
    except ValueError as error:
        raise UsageError(f"{path}: no layer table of `inferkit top --json`: {error}") from error


def _engines(first: dict[str, Any], second: dict[str, Any]) -> list[Difference]:
    found = []
    for name in dict.fromkeys([*first, *second]):
        here, there = first.get(name), second.get(name)
        if name in _INCIDENTAL or here == there:
            continue
        if name in _DIGESTS:
            here, there = (str(value)[:12] for value in (here, there))
        found.append(Difference("engine", name, here, there))
    return found


def _engine_layers(files: Sequence[str], batch: int) -> tuple[LayerDiff | None, str]:
    """The layers of both engines as this machine's GPU runs them, or why they cannot be told."""
    from inferkit.cli.inspect import engine_table

    tables = [engine_table(name, batch) for name in files]
    reasons = [table for table in tables if isinstance(table, str)]
    if reasons:
        return None, f"their layers are not compared: {reasons[0]}"
    first, second = (table for table in tables if not isinstance(table, str))
    return diff_layers(first, second), ""


def _networks(args: argparse.Namespace) -> tuple[list[Difference], tuple[Network, Network]]:
    import inferkit
    from inferkit.measure.layers.network_layers import layers_of, outputs_of, totals_of

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
    layers = layers_of(first, digests=True), layers_of(second, digests=True)
    totals = totals_of(first, layers[0]), totals_of(second, layers[1])
    found += [
        Difference("network", what, getattr(totals[0], key), getattr(totals[1], key))
        for what, key in (("parameters", "parameters"), ("operations per image", "operations"))
        if getattr(totals[0], key) != getattr(totals[1], key)
    ]
    found += _outputs((outputs_of(first), outputs_of(second)), layers)
    return found + differences(*layers), (first, second)


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
        if one.op == other.op and one.attributes != other.attributes:
            changed.append(Difference(name, "attributes", *_attributes(dict(one.attributes), dict(other.attributes))))
        inputs = (
            [_through(each, here, there) for each in one.inputs],
            [_through(each, there, here) for each in other.inputs],
        )
        if _wiring(inputs[0]) != _wiring(inputs[1]):
            changed.append(Difference(name, "inputs", *(", ".join(each.text for each in side) for side in inputs)))
        if not changed and one.weights != other.weights:
            changed = [Difference(name, "weights", one.weights, other.weights)]
        found += changed
    return found


def _attributes(one: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, str]:
    """Those that differ, on both sides."""
    names = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    here, there = (", ".join(f"{name} {side.get(name, 'not set')}" for name in names) for side in (one, other))
    return here, there


def _through(source: Source, own: Mapping[str, Layer], others: Container[str]) -> Source:
    """What an input comes from among the layers that both networks have.

    A layer on one side only, such as the cast of another precision, is told once; it does not make its readers differ.
    """
    from inferkit.measure.layers.network_layers import WEIGHTS

    while source.kind == "layer" and source.name not in others:
        computed = [each for each in own[source.name].inputs if each.kind in ("layer", "input")]
        if not computed:
            return WEIGHTS
        if len(computed) > 1:
            return source
        source = computed[0]
    return source


def _wiring(inputs: list[Source]) -> list[Source]:
    """Without the weights at the end: how many and which is compared by their number and digest."""
    from inferkit.measure.layers.network_layers import WEIGHTS

    kept = list(inputs)
    while kept and kept[-1] == WEIGHTS:
        kept.pop()
    return kept


def _outputs(
    outputs: tuple[Mapping[str, Source], Mapping[str, Source]], layers: tuple[tuple[Layer, ...], tuple[Layer, ...]]
) -> list[Difference]:
    """Of outputs that both networks have, what makes them."""
    here, there = ({layer.name: layer for layer in side} for side in layers)
    found = []
    for name in outputs[0]:
        if name in outputs[1]:
            one, other = _through(outputs[0][name], here, there), _through(outputs[1][name], there, here)
            if one != other:
                found.append(Difference(f"output {name}", "made by", one.text, other.text))
    return found


def _text(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        from inferkit.cli.inspect import tensors_text

        return tensors_text(value)
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)
