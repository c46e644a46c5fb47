"""`inferkit sweep`: the study's experiment: PyCaffe, FLOAT, HALF and INT8 over its batch sizes, as CSV and JSON."""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from inferkit.cli.option_types import at_least_one, duration
from inferkit.cli.output import add_json_or_file, json_output
from inferkit.cli.study_engine import (
    DATA_TYPES,
    add_calibration_options,
    add_uint8_option,
    calibration_files,
    image_preprocessing,
    load_network,
)
from inferkit.cli.sweep_points import PYCAFFE, Experiment, SweepPoint
from inferkit.cli.sweep_tables import curves_of, print_tables
from inferkit.exit_codes import ExitCode
from inferkit.measure.latency.curves import findings

BATCHES = (1, 5, 10, 25, 50, 75, 100, 125, 150, 175)
SERIES = (PYCAFFE, "FLOAT", "HALF", "INT8")
KIND, SCHEMA = "sweep", 2
ROUNDS = 6  # the true median lies within their range with 97 % confidence


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options; those of the study's tools keep their names."""
    parser.add_argument("-m", "--model", required=True, type=Path, help="prototxt of the network")
    parser.add_argument("-w", "--weights", required=True, type=Path, help="caffemodel with the trained weights")
    parser.add_argument("-l", "--lmdb", required=True, help="LMDB with the images to classify and their labels")
    parser.add_argument(
        "-i", "--iterations", type=at_least_one, default=10, help="batches to classify per point (default: 10)"
    )
    parser.add_argument(
        "--rounds",
        type=at_least_one,
        default=ROUNDS,
        metavar="N",
        help=f"times that every point is visited, in random order; their range is its error bar (default: {ROUNDS})",
    )
    parser.add_argument(
        "--seconds",
        type=duration,
        default=0.5,
        metavar="TIME",
        help="how long a point is timed in each round, after a warm-up (default: 500ms); a slower batch runs once",
    )
    parser.add_argument(
        "--batches",
        type=at_least_one,
        nargs="+",
        action="extend",
        metavar="N",
        help=f"batch sizes (default: {' '.join(map(str, BATCHES))})",
    )
    parser.add_argument(
        "--series",
        nargs="+",
        action="extend",
        choices=(PYCAFFE, *DATA_TYPES),
        metavar="S",
        help=f"what to run: {PYCAFFE}, {', '.join(DATA_TYPES)} (default: {' '.join(SERIES)})",
    )
    parser.add_argument("--backend", choices=("tensorrt", "onnxruntime"), default="tensorrt", help="default: tensorrt")
    parser.add_argument("-c", "--caffeRoot", help="Caffe to use (default: as for infer_caffe)")
    parser.add_argument("--gpu", action="store_true", help="run Caffe on the GPU (needs a Caffe with CUDA)")
    parser.add_argument("--outputLayer", help="blob with the predictions (default: the network's output, or prob)")
    parser.add_argument("--meanImage", help="mean image to subtract, .binaryproto or .npy")
    add_uint8_option(parser)
    add_calibration_options(parser)
    parser.add_argument("--csvFile", type=Path, help="file to append one row per point to")
    add_json_or_file(parser)


def run(args: argparse.Namespace) -> int:
    """Run every series over every batch size; returns the exit code."""
    from inferkit.cli.final_stats import append_row, check_csv
    from inferkit.data.opening import open_dataset
    from inferkit.report.progress import time_left

    calibration = calibration_files(args)
    if args.csvFile is not None:
        check_csv(args.csvFile)
    args.batches = args.batches or list(BATCHES)
    started = datetime.now()
    chosen = tuple(dict.fromkeys(args.series or SERIES))
    with json_output(args.json) as write, open_dataset(args.lmdb) as dataset:
        network = load_network(args.model, args.weights, output=args.outputLayer)
        preprocessing = image_preprocessing(args.model, args.meanImage, network, dataset, args.lmdb)
        experiment = Experiment(args, network, dataset, preprocessing, calibration)
        for point in experiment.build(chosen):
            _print_reason(point)
            write(_as_json(args, started, experiment.points))
        began, total = time.monotonic(), experiment.visits(args.rounds)
        for visits, (number, point) in enumerate(experiment.rounds(args.rounds), 1):
            left = time_left(time.monotonic() - began, visits, max(total, visits)) if sys.stderr.isatty() else ""
            _print(number, args.rounds, point, left)
            # After every visit: hours of work survive an interruption.
            write(_as_json(args, started, experiment.points))
        for point in experiment.points:
            if point.status == "ok" and args.csvFile is not None:
                append_row(args.csvFile, point.row())
        if any(point.status == "ok" for point in experiment.points):
            print_tables(experiment.points)
    statuses = {point.status for point in experiment.points}
    return ExitCode.OK if "ok" in statuses and "failed" not in statuses else ExitCode.ERROR


def _print(number: int, rounds: int, point: SweepPoint, left: str) -> None:
    if point.timing is None or point.status != "ok":
        _print_reason(point)
        return
    seconds = point.timing.rounds[-1].wall
    speed = f"{seconds * 1e3:.3f} ms per batch, {point.batch_size / seconds:.1f} images/sec"
    place = f"round {number} of {rounds}: {point.series} batch {point.batch_size}"
    print(f"{place}: {speed}{left and ', ' + left}", flush=True)


def _print_reason(point: SweepPoint) -> None:
    print(f"{point.series} batch {point.batch_size}: {point.status}: {point.reason}", file=sys.stderr)


def _as_json(args: argparse.Namespace, started: datetime, points: Sequence[SweepPoint]) -> dict[str, Any]:
    from inferkit.measure.machine.host import cpu_model, usable_cpus
    from inferkit.version import __version__

    return {
        "kind": KIND,
        "schema": SCHEMA,
        "inferkit": __version__,
        "started": started.isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "cpu": cpu_model(),
        "cpus": usable_cpus(),
        "model": str(args.model),
        "weights": str(args.weights),
        "lmdb": str(args.lmdb),
        "backend": args.backend,
        "iterations": args.iterations,
        "rounds": args.rounds,
        "seconds": args.seconds,
        "points": [point.as_dict() for point in points],
        **findings(curves_of(points)),
    }
