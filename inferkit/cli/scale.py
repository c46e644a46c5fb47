"""`inferkit scale`: one network on several GPUs or sets of CPUs at once: scaling and interference."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.backends import DEFAULT_ENGINE_BACKEND, backend
from inferkit.cli.backend_options import add_backend, takes
from inferkit.cli.case_options import add_busy_option
from inferkit.cli.model_options import add_model, add_precision
from inferkit.cli.option_types import at_least_one, duration
from inferkit.cli.output import add_json_or_file, json_output
from inferkit.errors import UsageError
from inferkit.exit_codes import ExitCode

if TYPE_CHECKING:
    from inferkit.measure.scaling.worker import WindowSpec

_COUNTS = (1, 2, 4, 8, 16)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    add_model(parser)
    parser.add_argument(
        "--devices",
        required=True,
        metavar="LIST",
        help="separated by commas: GPUs by index or UUID, or sets of CPUs (0-3,4-7) for a backend that computes there",
    )
    add_backend(parser, DEFAULT_ENGINE_BACKEND)
    add_precision(parser)
    parser.add_argument(
        "--batch-size", type=at_least_one, default=64, metavar="N", help="batch size (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=duration, default=5.0, metavar="TIME", help="time of each measurement (default: 5s)"
    )
    parser.add_argument(
        "--rounds", type=at_least_one, default=3, metavar="N", help="rounds, of which medians are shown (default: 3)"
    )
    parser.add_argument(
        "--least", type=float, metavar="SHARE", help="exit code 1 where all devices together reach less (such as 0.95)"
    )
    add_busy_option(parser)
    add_json_or_file(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print; returns the exit code."""
    with json_output(args.json) as write:
        return _run(args, write)


def _run(args: argparse.Namespace, write: Callable[[Any], None]) -> ExitCode:
    from inferkit.measure.scaling.scaling import measure_scaling, scaling_as_dict, summarize
    from inferkit.precision import normalize

    names = [name.strip() for name in args.devices.split(",") if name.strip()]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"--devices {args.devices}: name each device once")
    counts = sorted({count for count in _COUNTS if count < len(names)} | {len(names)})
    with tempfile.TemporaryDirectory(prefix="inferkit-scale-") as folder:
        specs, unit = _specs(args, names, normalize(args.precision), Path(folder))
        windows = measure_scaling(specs, counts, seconds=args.seconds, rounds=args.rounds, unit=unit, say=_print)
    scalings = summarize(names, windows)
    for each in scalings:
        lost = ", ".join(f"{name} {100 * share:+.1f} %" for name, share in each.lost.items())
        devices = "1 device" if each.count == 1 else f"{each.count} devices"
        print(
            f"{devices}: {each.total:,.1f} {unit}/s, {each.ratio:.2f} times one device, "
            f"{each.share:.3f} of the sum of single devices" + (f" (lost: {lost})" if each.count > 1 else "")
        )
    facts = {name: getattr(args, name) for name in ("model", "backend", "batch_size", "seconds", "rounds")}
    facts["precision"] = normalize(args.precision)
    write(scaling_as_dict(names, windows, **facts))
    if any(window.invalid for window in windows):
        from inferkit.measure.machine import busy_host

        hint = busy_host.hint_for(" ".join(reason for window in windows for reason in window.invalid))
        print("INVALID: the machine was not in a state to measure; see the lines above" + (hint and f"; {hint}"))
        return ExitCode.INVALID
    return ExitCode.REGRESSED if args.least is not None and scalings[-1].share < args.least else ExitCode.OK


def _print(line: str) -> None:
    print(line, flush=True)


def _specs(
    args: argparse.Namespace, names: list[str], precision: str, folder: Path
) -> tuple[dict[str, WindowSpec], str]:
    """Prepare the network and build its engine once; a spec for every device, and what a batch consists of."""
    from inferkit.cli.pixels import recipe_of
    from inferkit.measure.engine.engine_file import EngineSpec
    from inferkit.measure.jobs.interpreter import with_environment
    from inferkit.measure.jobs.launch import build_engine_file, prepare_network
    from inferkit.measure.scaling.worker import WindowSpec, parse_cpus
    from inferkit.suite.campaign.target import environment_of

    facts = backend(args.backend).facts
    on_gpu = facts.on_gpu
    sets = {} if on_gpu else {name: parse_cpus(name) for name in names}
    taken = [cpu for cpus in sets.values() for cpu in cpus]
    if len(set(taken)) < len(taken):
        raise UsageError(f"--devices {args.devices}: two sets have a CPU in common")
    prepared = prepare_network(recipe_of(args, precision, images=args.batch_size), folder / "network")
    # One size of batch is run: the engine that fixes it in the graph is the fastest.
    build: dict[str, Any] = {"static": True} if takes(args.backend, "static", "build") else {}
    if on_gpu and takes(args.backend, "device", "build"):
        build["device"] = names[0]
    session = {"mode": "throughput"} if takes(args.backend, "mode", "session") else {}
    engine = EngineSpec(str(folder / "network"), args.backend, args.batch_size, build)
    environment = dict(environment_of(args.backend, precision))
    if facts.keeps_engine_files:
        file = build_engine_file(engine, folder, args.model, by=with_environment(None, environment))
        engine = replace(engine, file=file)
    specs = {
        name: WindowSpec(engine, session, sets.get(name, ()), name if on_gpu else None, environment=environment)
        for name in names
    }
    return specs, prepared["unit"]
