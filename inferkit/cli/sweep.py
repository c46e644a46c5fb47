"""`inferkit sweep`: the study's experiment: PyCaffe, FLOAT, HALF and INT8 over its batch sizes, as CSV and JSON."""

from __future__ import annotations

import argparse
import contextlib
import io
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from inferkit.cli.option_types import at_least_one
from inferkit.cli.output import add_json_or_file, json_output
from inferkit.cli.study import Tally, scores_of
from inferkit.cli.study_engine import (
    DATA_TYPES,
    CalibrationFiles,
    add_calibration_options,
    add_uint8_option,
    at_data_type,
    calibration_files,
    classify,
    image_preprocessing,
    load_network,
    taking_pixels,
)
from inferkit.cli.study_images import read_batches
from inferkit.errors import BackendUnavailable, InferkitError
from inferkit.exit_codes import ExitCode

if TYPE_CHECKING:
    from inferkit.backends.base import Session, Trace
    from inferkit.cli.final_stats import FinalStats
    from inferkit.data.dataset import Dataset
    from inferkit.data.pixels.preprocessing import Preprocessing
    from inferkit.network.network import Network

BATCHES = (1, 5, 10, 25, 50, 75, 100, 125, 150, 175)
PYCAFFE = "PyCaffe"
SERIES = (PYCAFFE, "FLOAT", "HALF", "INT8")
PROGRAM = "inferkit sweep"


@dataclass
class SweepPoint:
    """One point of the experiment: `status` is ok, unsupported or failed (then with the `reason`)."""

    series: str
    batch_size: int
    status: str
    reason: str = ""
    stats: FinalStats | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; seconds."""
        plain: dict[str, Any] = {"series": self.series, "batch_size": self.batch_size, "status": self.status}
        if self.reason:
            plain["reason"] = self.reason
        if self.stats is not None:
            plain["figures"] = self.stats.figures()
            plain["times"] = list(self.stats.times)
            plain["images"] = self.stats.predictions
            plain["correct_top1"] = self.stats.correct_top1
            plain["correct_top5"] = self.stats.correct_top5
        return {**plain, **self.details}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options; those of the study's tools keep their names."""
    parser.add_argument("-m", "--model", required=True, type=Path, help="prototxt of the network")
    parser.add_argument("-w", "--weights", required=True, type=Path, help="caffemodel with the trained weights")
    parser.add_argument("-l", "--lmdb", required=True, help="LMDB with the images to classify and their labels")
    parser.add_argument("-i", "--iterations", type=at_least_one, default=10, help="batches per point (default: 10)")
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
    from inferkit.cli.final_stats import check_csv
    from inferkit.data.opening import open_dataset
    from inferkit.report.progress import time_left

    calibration = calibration_files(args)
    if args.csvFile is not None:
        check_csv(args.csvFile)
    args.batches = args.batches or list(BATCHES)
    started, began = datetime.now(), time.monotonic()
    outcomes: list[SweepPoint] = []
    chosen, batches = tuple(dict.fromkeys(args.series or SERIES)), sorted(set(args.batches))
    with json_output(args.json) as write, open_dataset(args.lmdb) as dataset:
        network = load_network(args.model, args.weights, output=args.outputLayer)
        preprocessing = image_preprocessing(args.model, args.meanImage, network, dataset, args.lmdb)
        experiment = Experiment(args, network, dataset, preprocessing, calibration)
        for series in chosen:
            for outcome in experiment.series(series, batches):
                outcomes.append(outcome)
                left = time_left(time.monotonic() - began, len(outcomes), len(chosen) * len(batches))
                _print(outcome, left if sys.stderr.isatty() else "")
                write(_as_json(args, started, outcomes))  # after every point: hours of work survive an interruption
        if any(outcome.status == "ok" for outcome in outcomes):
            print_tables(outcomes)
    statuses = {outcome.status for outcome in outcomes}
    return ExitCode.OK if "ok" in statuses and "failed" not in statuses else ExitCode.ERROR


class Experiment:
    """The network, its images, and how each series is run over them."""

    def __init__(
        self,
        args: argparse.Namespace,
        network: Network,
        dataset: Dataset,
        preprocessing: Preprocessing,
        calibration: CalibrationFiles | None,
    ) -> None:
        from inferkit.measure.accuracy.top_k import scores_output

        self._args = args
        self._network = network
        self._dataset = dataset
        self._preprocessing = preprocessing
        self._calibration = calibration
        self._output = scores_output([info.name for info in network.outputs], f"{args.model} (--outputLayer chooses)")

    def series(self, name: str, batches: Sequence[int]) -> Iterator[SweepPoint]:
        """The outcomes of one series. A point that fails does not stop the next ones."""
        runner = self._pycaffe(batches) if name == PYCAFFE else self._engine(name, batches)
        done = 0
        try:
            for outcome in runner:
                done += 1
                yield outcome
        except BackendUnavailable as error:
            yield from (SweepPoint(name, batch, "unsupported", str(error)) for batch in batches[done:])
        except InferkitError as error:
            yield from (SweepPoint(name, batch, "failed", str(error)) for batch in batches[done:])

    def _pycaffe(self, batches: Sequence[int]) -> Iterator[SweepPoint]:
        from inferkit.backends.caffe.open import open_net

        args = self._args
        net = open_net(args.model, args.weights, caffe_root=args.caffeRoot, gpu=args.gpu)
        try:
            (data,) = net.inputs
            for batch_size in batches:
                tally = self._tally("NA", batch_size)
                with _point(PYCAFFE, batch_size) as outcome:
                    for batch in read_batches(self._dataset, batch_size, args.iterations, self._preprocessing):
                        net.load({data: batch.images})
                        if not tally.times:
                            net.execute()  # Caffe makes its buffers in the first pass of a new shape
                        seconds = net.execute()
                        scores = scores_of(net.fetch([self._output])[self._output], batch_size, self._output)
                        tally.add(batch, scores, seconds)
                    outcome.details = {"caffe": net.version, "threads": net.threads, "gpu": args.gpu}
                    outcome.stats = _finished(tally)
                yield outcome
        finally:
            net.close()

    def _engine(self, data_type: str, batches: Sequence[int]) -> Iterator[SweepPoint]:
        import inferkit
        from inferkit.backends import backend
        from inferkit.measure.machine.lease import device_lease

        available = backend(self._args.backend).availability(DATA_TYPES[data_type])
        if not available.ok:
            raise BackendUnavailable(available.reason, available.hint)
        network, preprocessing = at_data_type(self._network, data_type, self._calibration), self._preprocessing
        if self._args.uint8Input:
            network, preprocessing = taking_pixels(network, preprocessing)
        device = backend(self._args.backend).device()
        with device_lease(device):  # some builders time tactics on it
            engine = inferkit.build(network, backend=self._args.backend, max_batch=max(batches))
        for batch_size in batches:
            tally = self._tally(data_type, batch_size)
            with _point(data_type, batch_size) as outcome, device_lease(device), engine.session() as session:
                traces, telemetry = self._classified(session, tally, network, preprocessing)
                outcome.details = {
                    "backend": engine.info.backend,
                    "precision": engine.info.precision,
                    "input": session.inputs[0].dtype,
                    "flavour": engine.info.flavour,
                    "version": engine.info.version,
                    "engine_bytes": engine.info.size_bytes,
                    "build_seconds": engine.info.build_seconds,
                    "calibration": network.calibration,
                    "launch": getattr(session, "launch", None),
                    "memory_bytes": session.memory_bytes(),
                    "parts": _parts(traces),
                    "gpu": telemetry,
                }
                outcome.stats = _finished(tally)
            yield outcome

    def _classified(
        self, session: Session, tally: Tally, network: Network, preprocessing: Preprocessing
    ) -> tuple[list[Trace], dict[str, Any] | None]:
        """The traces of one point, and what NVML saw meanwhile (None without a GPU)."""
        from inferkit.measure.machine.gpu import GpuTelemetry

        def run() -> list[Trace]:
            return classify(
                session,
                self._output,
                self._dataset,
                preprocessing,
                tally,
                self._args.iterations,
                warm=_warm,
                network=network if tally.batch_size == min(self._args.batches) else None,
            )

        if session.device is None:
            return run(), None
        with GpuTelemetry(session.device).watch() as watch:
            traces = run()
        # Warming up and decoding are in between: what was drawn meanwhile is not the energy of these images.
        return traces, watch.summary().as_dict()

    def _tally(self, data_type: str, batch_size: int) -> Tally:
        return Tally(PROGRAM, batch_size, data_type, quiet=True, csv_file=self._args.csvFile)


@contextlib.contextmanager
def _point(series: str, batch_size: int) -> Iterator[SweepPoint]:
    """One point: an InferkitError becomes its outcome, so that the next one runs."""
    outcome = SweepPoint(series, batch_size, "ok")
    try:
        yield outcome
    except BackendUnavailable as error:
        outcome.status, outcome.reason = "unsupported", str(error)
    except InferkitError as error:
        outcome.status, outcome.reason = "failed", str(error)


def _warm(session: Session) -> None:
    """Until times have settled: the study's first iterations were slower for clocks and caches than its later ones."""
    from inferkit.measure.latency.warmup import warm_up

    warm_up(lambda: session.execute().wall, limit=1.0)


def _finished(tally: Tally) -> FinalStats:
    """The final stats, appended to the CSV file; the block itself is not printed."""
    with contextlib.redirect_stdout(io.StringIO()):
        return tally.finish()


def _parts(traces: Sequence[Trace]) -> dict[str, float | None]:
    """Medians of the timed region's parts, seconds."""
    enqueue = [trace.enqueue for trace in traces if trace.enqueue is not None]
    return {
        "host_to_device": median(trace.host_to_device for trace in traces),
        "compute": median(trace.compute for trace in traces),
        "device_to_host": median(trace.device_to_host for trace in traces),
        "wall": median(trace.wall for trace in traces),
        "enqueue": median(enqueue) if enqueue else None,
    }


def _print(outcome: SweepPoint, left: str) -> None:
    name = f"{outcome.series} batch {outcome.batch_size}"
    if outcome.stats is None:
        print(f"{name}: {outcome.status}: {outcome.reason}{left and ', ' + left}", file=sys.stderr)
        return
    figures = outcome.stats.figures()
    speed = f"{figures['Mean'] * 1e3:.3f} ms per batch, {figures['Images/sec']:.1f} images/sec"
    print(f"{name}: {speed}{left and ', ' + left}", flush=True)


def _as_json(args: argparse.Namespace, started: datetime, outcomes: Iterable[SweepPoint]) -> dict[str, Any]:
    from inferkit.version import __version__

    return {
        "schema": 1,
        "inferkit": __version__,
        "started": started.isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "model": str(args.model),
        "weights": str(args.weights),
        "lmdb": str(args.lmdb),
        "backend": args.backend,
        "iterations": args.iterations,
        "points": [outcome.as_dict() for outcome in outcomes],
    }


def print_tables(outcomes: Sequence[SweepPoint]) -> None:
    """The study's three charts as tables: latency, throughput, accuracy."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    series = list(dict.fromkeys(outcome.series for outcome in outcomes))
    by_point = {(outcome.series, outcome.batch_size): outcome.stats for outcome in outcomes}
    console = Console()
    for title, name, factor in (
        ("average latency per batch, ms", "Mean", 1e3),
        ("throughput, images/sec", "Images/sec", 1.0),
    ):
        table = Table(title=title, box=box.SIMPLE_HEAD)
        table.add_column("batch", justify="right")
        for each in series:
            table.add_column(each, justify="right")
        for batch in sorted({outcome.batch_size for outcome in outcomes}):
            points = [by_point.get((each, batch)) for each in series]
            cells = [f"{stats.figures()[name] * factor:.2f}" if stats is not None else "-" for stats in points]
            table.add_row(str(batch), *cells)
        console.print(table)
    table = Table(title="accuracy, percent (images of the largest batch)", box=box.SIMPLE_HEAD)
    for heading in ("", "top 1", "top 5", "images"):
        table.add_column(heading, justify="right")
    for each in series:
        ran = [stats for (name, _), stats in sorted(by_point.items()) if name == each and stats is not None]
        if ran:
            last = ran[-1]
            shares = [f"{100 * count / last.predictions:.2f}" for count in (last.correct_top1, last.correct_top5)]
            table.add_row(each, *shares, str(last.predictions))
    console.print(table)
