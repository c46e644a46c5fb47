"""`inferkit diff`: the differences between two networks, two engines, or two runs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.cli.comparing import compare_files, show_comparison
from inferkit.cli.engine_facts import batch_for, engine_info, engine_table, tensors_text
from inferkit.cli.model_options import add_dimensions, stated_dimensions
from inferkit.cli.option_types import at_least_one
from inferkit.cli.output import add_json, print_json
from inferkit.errors import UsageError
from inferkit.exit_codes import ExitCode
from inferkit.gate.layer_diff import LayerDiff, diff_layers

if TYPE_CHECKING:
    from inferkit.measure.layers.network_layers import Layer, Source
    from inferkit.measure.layers.table import LayerTable
    from inferkit.network.network import Network

_SHOWN = ("op", "shape", "precision", "parameters", "operations", "weight_bytes")
# What of an engine's metadata depends on when it was built, not on what was built.
_INCIDENTAL = ("engine", "build_seconds")
_DIGESTS = ("network_digest", "sha256")
_MOST_LAYERS = 12


@dataclass(frozen=True)
class Difference:
    """One thing that differs; None in base or head where that does not have it."""

    where: str
    what: str
    base: Any
    head: Any

    @property
    def line(self) -> str:
        """The line to print."""
        if self.what == "layer":
            only = "base" if self.head is None else "head"
            return f"{self.where}: only in {only} ({self.base or self.head})"
        if self.what == "weights":
            return f"{self.where}: different weights"
        return f"{self.where}: {self.what} {_text(self.base)} -> {_text(self.head)}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    kinds = "model, engine file, benchmark JSON, or what `inferkit top --json` printed"
    parser.add_argument("base", metavar="BASE", help=kinds)
    parser.add_argument("head", metavar="HEAD", help="another of the same kind")
    for name, former in (("base", "first"), ("head", "second")):
        parser.add_argument(
            f"--{name}-weights",
            f"--{former}-weights",
            metavar="FILE",
            help=f"caffemodel of the prototxt {name.upper()}",
        )
    parser.add_argument("--times", action="store_true", help="of models: time both in ONNX Runtime, layer by layer")
    parser.add_argument(
        "--batch-size",
        type=at_least_one,
        metavar="N",
        help="batch size of the times (default: 1, or the smallest that both engines take)",
    )
    add_dimensions(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the differences; returns the exit code."""
    files = (args.base, args.head)
    runs = [_is_run(name) for name in files]
    if all(runs):
        profiles = [_profile(name) for name in files]
        if profiles[0] is not None and profiles[1] is not None:
            return _show(args, [], diff_layers(profiles[0], profiles[1]), "")
        return show_comparison(compare_files([args.base], [args.head]), json=args.json)
    engines = [engine_info(name) for name in files]
    if any(runs) or (engines[0] is None) != (engines[1] is None):
        raise UsageError(f"{args.base} and {args.head} are of different kinds: name two models, engines or runs")
    if engines[0] is not None and engines[1] is not None:
        batch = batch_for(args.batch_size, engines[0], engines[1])
        return _show(args, _engines(engines[0], engines[1]), *_engine_layers(files, batch))
    differing, networks = _networks(args)
    layers = None
    if args.times:
        from inferkit.measure.layers.profile import profile_network

        layers = diff_layers(*(profile_network(each, batch=batch_for(args.batch_size)) for each in networks))
    return _show(args, differing, layers, "")


def _show(args: argparse.Namespace, differing: list[Difference], layers: LayerDiff | None, remark: str) -> ExitCode:
    """Print the differences; DIFFERENT where anything but the times of layers differs."""
    differs = bool(differing) or (layers is not None and bool(layers.altered))
    code = ExitCode.DIFFERENT if differs else ExitCode.OK
    if args.json:
        differences = [asdict(difference) for difference in differing]
        print_json({"differences": differences, "layers": None if layers is None else layers.as_dict()})
        return code
    for difference in differing:
        print(difference.line)
    if not differs:
        print("no difference" if layers is None or not layers.changes else "no difference except in time")
    if layers is not None and layers.changes:
        from inferkit.report.layers import WHY, layer_lines
        from inferkit.report.table import stdout_look

        width, color = stdout_look()
        lines = layer_lines("both", {WHY: layers.as_dict()}, most=_MOST_LAYERS, width=width, color=color)
        print("\n".join([*([""] if differing or not differs else []), *lines]))
        if summary := layers.summary():
            print(summary)
    if remark:
        print(remark)
    return code


def _is_run(name: str) -> bool:
    return Path(name).suffix.lower() == ".json" and Path(name).is_file()


def _profile(path: str) -> LayerTable | None:
    """The layer table in a file that `inferkit top --json` printed; None for another file."""
    from inferkit.measure.layers.table import table_from

    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # reading it as a run says what is wrong with it
    if not isinstance(content, dict) or "table" not in content or "benchmarks" in content:
        return None
    try:
        return table_from(content["table"])
    except ValueError as error:
        raise UsageError(f"{path}: not a layer table of `inferkit top --json`: {error}") from error


def _engines(base: dict[str, Any], head: dict[str, Any]) -> list[Difference]:
    differing = []
    for name in dict.fromkeys([*base, *head]):
        values = base.get(name), head.get(name)
        if name in _INCIDENTAL or values[0] == values[1]:
            continue
        shown = (str(value)[:12] for value in values) if name in _DIGESTS else values
        differing.append(Difference("engine", name, *shown))
    return differing


def _engine_layers(files: Sequence[str], batch: int) -> tuple[LayerDiff | None, str]:
    """The layers of both engines as this machine's GPU runs them, or the reason why they are not known."""
    tables = [engine_table(name, batch) for name in files]
    reasons = [table for table in tables if isinstance(table, str)]
    if reasons:
        return None, f"layers are not compared: {reasons[0]}"
    base, head = (table for table in tables if not isinstance(table, str))
    return diff_layers(base, head), ""


def _networks(args: argparse.Namespace) -> tuple[list[Difference], tuple[Network, Network]]:
    import inferkit
    from inferkit.measure.layers.network_layers import layers_of, outputs_of, totals_of

    stated = stated_dimensions(args)
    base = inferkit.load(args.base, args.base_weights, **stated)
    head = inferkit.load(args.head, args.head_weights, **stated)
    differing = [
        Difference("network", what, _infos(getattr(base, what)), _infos(getattr(head, what)))
        for what in ("inputs", "outputs")
        if getattr(base, what) != getattr(head, what)
    ]
    layers = layers_of(base, digests=True), layers_of(head, digests=True)
    totals = totals_of(base, layers[0]), totals_of(head, layers[1])
    differing += [
        Difference("network", what, getattr(totals[0], key), getattr(totals[1], key))
        for what, key in (("parameters", "parameters"), ("operations per image", "operations"))
        if getattr(totals[0], key) != getattr(totals[1], key)
    ]
    differing += _outputs((outputs_of(base), outputs_of(head)), layers)
    return differing + differences(*layers), (base, head)


def _infos(infos: Any) -> list[str]:
    return [tensors_text([asdict(info)]) for info in infos]


def differences(base: tuple[Layer, ...], head: tuple[Layer, ...]) -> list[Difference]:
    """Layer by layer, by name; of layers in both each property that differs."""
    of_base, of_head = ({layer.name: layer for layer in layers} for layers in (base, head))
    differing = []
    for name in dict.fromkeys([*of_base, *of_head]):
        old, new = of_base.get(name), of_head.get(name)
        if old is None or new is None:
            differing.append(Difference(name, "layer", old.op if old else None, new.op if new else None))
            continue
        changed = [
            Difference(name, key, getattr(old, key), getattr(new, key))
            for key in _SHOWN
            if getattr(old, key) != getattr(new, key)
        ]
        if old.op == new.op and old.attributes != new.attributes:
            changed.append(Difference(name, "attributes", *_attributes(dict(old.attributes), dict(new.attributes))))
        inputs = (
            [_through(each, of_base, of_head) for each in old.inputs],
            [_through(each, of_head, of_base) for each in new.inputs],
        )
        if _wiring(inputs[0]) != _wiring(inputs[1]):
            changed.append(Difference(name, "inputs", *(", ".join(each.text for each in side) for side in inputs)))
        if not changed and old.weights != new.weights:
            changed = [Difference(name, "weights", old.weights, new.weights)]
        differing += changed
    return differing


def _attributes(base: Mapping[str, str], head: Mapping[str, str]) -> tuple[str, str]:
    """Those that differ, in base and in head."""
    names = [name for name in sorted({*base, *head}) if base.get(name) != head.get(name)]
    texts = [", ".join(f"{name} {side.get(name, 'not set')}" for name in names) for side in (base, head)]
    return texts[0], texts[1]


def _through(source: Source, layers: Mapping[str, Layer], others: Container[str]) -> Source:
    """What an input comes from among the layers that both networks have.

    A layer in one of them only, such as the cast of another precision, is listed once; its readers do not differ for
    it.
    """
    from inferkit.measure.layers.network_layers import WEIGHTS

    while source.kind == "layer" and source.name not in others:
        computed = [each for each in layers[source.name].inputs if each.kind in ("layer", "input")]
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
    """Of outputs that both networks have, the layer that makes them where that differs."""
    of_base, of_head = ({layer.name: layer for layer in side} for side in layers)
    differing = []
    for name in outputs[0]:
        if name in outputs[1]:
            base, head = _through(outputs[0][name], of_base, of_head), _through(outputs[1][name], of_head, of_base)
            if base != head:
                differing.append(Difference(f"output {name}", "made by", base.text, head.text))
    return differing


def _text(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return tensors_text(value)
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)
