"""PyCaffe against ONNX Runtime on this CPU: images per second, same machine, same run, same threads.

Both are open at once and take turns, round by round, so that what disturbs the machine disturbs both; a figure is the
median over the rounds, its spread the quartiles. Only net.forward() and Run() are timed. Prints a Markdown table. Give
it a quiet machine:

    python -m tools.bench.cpu --int8
"""

from __future__ import annotations

import argparse
import itertools
import operator
import os
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

import inferkit
from inferkit.backends import backend, build
from inferkit.backends.base import Session
from inferkit.backends.caffe.root import openblas_coretype
from inferkit.backends.cores import usable_cores
from inferkit.errors import InferkitError
from inferkit.measure.machine.host import cpu_model

NETWORKS = ("lenet", "squeezenet1_1", "googlenet", "vgg16")
CAFFE, ORT, INT8 = "caffe", "onnxruntime", "onnxruntime_int8"
TITLES = {CAFFE: "PyCaffe", ORT: "ONNX Runtime", INT8: "ONNX Runtime INT8"}


@dataclass(frozen=True)
class Row:
    """One network at one batch size. `images_per_second` by way of running: lower quartile, median, upper quartile.

    `ratios` are medians of the rounds' own ratios to the way before: ONNX Runtime to PyCaffe, INT8 to FP32.
    `difference` is the largest in FP32, relative to the output's scale.
    """

    network: str
    batch: int
    images_per_second: dict[str, tuple[float, float, float]]
    ratios: dict[str, float]
    difference: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is asked for. Exit code 1 where a backend cannot run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="NAME", help="names of the zoo")
    parser.add_argument("--batches", nargs="+", type=int, default=(1, 10), metavar="N", help="default: 1 10")
    parser.add_argument(
        "--threads", type=int, default=usable_cores(), help="of both (default: the cores that are ours)"
    )
    parser.add_argument("--rounds", type=int, default=11, help="turns of each backend (default: 11)")
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long one turn lasts (default: 0.5)")
    parser.add_argument("--int8", action="store_true", help="ONNX Runtime in INT8 too")
    parser.add_argument("--caffe-root", help="the Caffe to use (default: as inferkit finds it)")
    args = parser.parse_args(argv)
    try:
        rows = []
        for name in args.networks:
            for batch in args.batches:
                rows.append(compare(name, batch, args))
                print(f"{name}, batch {batch}: {rows[-1].ratios[ORT]:.2f} times PyCaffe", file=sys.stderr)
        text = markdown(rows, args.threads)
    except InferkitError as error:
        print(f"tools.bench.cpu: {error}", file=sys.stderr)
        return 1
    print(text)
    return 0


def compare(name: str, batch: int, args: argparse.Namespace) -> Row:
    """Every way of running one network, taking turns."""
    network = inferkit.load(name)
    shape = (batch, *(dim or 1 for dim in network.inputs[0].shape[1:]))
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    with ExitStack() as stack:
        caffe = build(network, backend="caffe", max_batch=batch, caffe_root=args.caffe_root)
        sessions: dict[str, Session] = {CAFFE: stack.enter_context(caffe.session(threads=args.threads))}
        graphs = {ORT: network}
        if args.int8:
            graphs[INT8] = inferkit.at_precision(network, "int8", calibration=[images])
        for key, graph in graphs.items():
            engine = build(graph, backend="onnxruntime", max_batch=batch, threads=args.threads)
            sessions[key] = stack.enter_context(engine.session())
        outputs = {key: session.run(images) for key, session in sessions.items()}
        turns = {key: iterations_for(session, args.seconds) for key, session in sessions.items()}
        walls: dict[str, list[float]] = {key: [] for key in sessions}
        for turn in range(args.rounds):
            for key in sessions if turn % 2 == 0 else reversed(sessions):
                sessions[key].execute()  # its caches are cold after the other's turn
                walls[key].append(statistics.median(sessions[key].execute().wall for _ in range(turns[key])))
    rates = {key: quartiles([batch / wall for wall in seconds]) for key, seconds in walls.items()}
    pairs = itertools.pairwise(walls)
    ratios = {key: statistics.median(map(operator.truediv, walls[base], walls[key])) for base, key in pairs}
    reference = outputs[CAFFE]
    difference = max(float(np.abs(outputs[ORT][key] - values).max()) for key, values in reference.items())
    scale = max(float(np.abs(values).max()) for values in reference.values())
    return Row(name, batch, rates, ratios, difference / scale)


def iterations_for(session: Session, seconds: float) -> int:
    """How many iterations make a turn of about `seconds`, at least one; warms up meanwhile."""
    start = time.perf_counter()
    walls: list[float] = []
    while time.perf_counter() - start < seconds or len(walls) < 2:
        walls.append(session.execute().wall)
    return max(1, round(seconds / statistics.median(walls)))


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)


def markdown(rows: Sequence[Row], threads: int) -> str:
    """The table, and a line on the machine."""
    coretype = os.environ.get("OPENBLAS_CORETYPE") or openblas_coretype()
    ways = list(rows[0].images_per_second) if rows else [CAFFE, ORT]
    titles = [f"{TITLES[key]} images/s" for key in ways]
    ratios = {ORT: "ONNX Runtime / PyCaffe", INT8: "INT8 / FP32"}
    header = ["network", "batch", *titles, *(ratios[key] for key in ways[1:]), "largest FP32 difference"]
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    for row in rows:
        cells = [row.network, str(row.batch), *(shown(row.images_per_second[key]) for key in ways)]
        cells += [f"{row.ratios[key]:.2f}" for key in ways[1:]]
        lines.append(f"| {' | '.join(cells)} | {row.difference:.1e} |")
    lines += [
        "",
        f"{cpu_model()}, {threads} threads, load {os.getloadavg()[0]:.1f} · "
        f"PyCaffe {backend('caffe').availability().version} with OPENBLAS_CORETYPE={coretype} · "
        f"ONNX Runtime {backend('onnxruntime').availability().version} · median of the rounds, quartiles in brackets; "
        "the difference is relative to the output's scale.",
    ]
    return "\n".join(lines)


def shown(rate: tuple[float, float, float]) -> str:
    """Median and quartiles with three significant digits."""
    return (
        f"{rate[1]:.3g} ({rate[0]:.3g} to {rate[2]:.3g})"
        if rate[2] < 1000
        else f"{rate[1]:.0f} ({rate[0]:.0f} to {rate[2]:.0f})"
    )


if __name__ == "__main__":
    sys.exit(main())
