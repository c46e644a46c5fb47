"""The points of a sweep: every series built once, then visited round by round over its batch sizes."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inferkit.cli.study import Tally
from inferkit.cli.study_engine import DATA_TYPES, CalibrationFiles, at_data_type, classify, taking_pixels
from inferkit.cli.study_images import read_batches
from inferkit.data.opening import image_type
from inferkit.errors import BackendUnavailable, InferkitError
from inferkit.measure.latency.rounds import Timing, measure_round, with_round

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inferkit.backends.base import Engine, Session
    from inferkit.cli.final_stats import FinalStats
    from inferkit.data.dataset import Dataset
    from inferkit.data.pixels.preprocessing import Preprocessing
    from inferkit.network.network import Network

PYCAFFE = "PyCaffe"
PROGRAM = "inferkit sweep"


@dataclass(eq=False)
class SweepPoint:
    """One point of the experiment: `status` is ok, unsupported or failed (then with the `reason`).

    `stats` count the study's iterations, which the images are classified in; `timing` are the rounds, which the curves
    are made of. `limit` is what the card's data sheet allows. All are None until they are measured.
    """

    series: str
    batch_size: int
    status: str = "ok"
    reason: str = ""
    stats: FinalStats | None = None
    repeated: bool = False
    timing: Timing | None = None
    limit: dict[str, Any] | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def share(self) -> float | None:
        """How much of the card's limit the execution reaches, None where the card is not known."""
        compute = None if self.timing is None else self.timing.part("compute")
        return self.limit["seconds"] / compute if self.limit is not None and compute else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; seconds."""
        plain: dict[str, Any] = {"series": self.series, "batch_size": self.batch_size, "status": self.status}
        if self.reason:
            plain["reason"] = self.reason
        if self.stats is not None:
            plain["figures"] = self.stats.figures()
            plain["times"] = list(self.stats.times)
            plain["images"] = self.stats.predictions
            plain["images_repeated"] = self.repeated
            plain["correct_top1"] = self.stats.correct_top1
            plain["correct_top5"] = self.stats.correct_top5
        if self.timing is not None:
            plain["timing"] = self.timing.as_dict()
            plain["parts"] = self.timing.parts()
        if self.limit is not None:
            plain["limit"] = {**self.limit, "share": self.share}
        return {**plain, **self.details}

    def row(self) -> dict[str, str]:
        """The study's columns and those of the rounds, for a CSV file; measured to the end."""
        from inferkit.cli.final_stats import ROUND_COLUMNS

        assert self.stats is not None
        assert self.timing is not None
        interval, unsteady = self.timing.interval, self.timing.unsteady()
        times = [f"{seconds:.9f}" for seconds in (interval.median, interval.low, interval.high)]
        steady = "no: " + "; ".join(unsteady) if unsteady else "yes"
        share = "" if self.share is None else f"{self.share:.4f}"
        cells = (str(len(self.timing.rounds)), *times, steady, share)
        return {**self.stats.row(), **dict(zip(ROUND_COLUMNS, cells, strict=True))}


@dataclass(frozen=True, eq=False)
class _Series:
    """An engine that takes every batch size, the network that it is of, what is done to images before they are fed, the
    points, and the device to be leased.
    """

    name: str
    engine: Engine
    network: Network
    preprocessing: Preprocessing
    points: tuple[SweepPoint, ...]
    device: str | None = None

    @property
    def open_points(self) -> list[SweepPoint]:
        """Those that did not fail."""
        return [point for point in self.points if point.status == "ok"]


class Experiment:
    """The network, its images, and how each series is run over them.

    In each round every series is opened anew, one after the other in random order, and its batch sizes are visited in
    random order: what drifts meanwhile does not shape a curve.
    """

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
        self._batches: tuple[int, ...] = tuple(sorted(set(args.batches)))
        self._series: list[_Series] = []
        self._images: dict[str, NDArray[Any]] = {}
        self.points: list[SweepPoint] = []

    def build(self, names: Sequence[str]) -> Iterator[SweepPoint]:
        """Build the engine of each series; gives the points of those that cannot run."""
        for name in names:
            points = tuple(SweepPoint(name, batch) for batch in self._batches)
            self.points.extend(points)
            try:
                self._series.append(self._built(name, points))
            except InferkitError as error:
                yield from _gave_up(points, error)

    def rounds(self, count: int) -> Iterator[tuple[int, SweepPoint]]:
        """Visit every point `count` times; gives the number of the round, from 1, and the point after each visit.

        A point that fails does not stop the others, and is visited no more.
        """
        for number in range(1, count + 1):
            order = random.Random(number)
            for series in order.sample(self._series, len(self._series)):
                for point in self._round(series, number, order):
                    yield number, point

    def visits(self, rounds: int) -> int:
        """How many visits so many rounds are, unless points fail."""
        return sum(len(series.open_points) for series in self._series) * rounds

    def _built(self, name: str, points: tuple[SweepPoint, ...]) -> _Series:
        import inferkit
        from inferkit.backends import backend
        from inferkit.measure.machine.lease import device_lease

        most = max(self._batches)
        if name == PYCAFFE:
            settings = {"caffe_root": self._args.caffeRoot, "gpu": self._args.gpu}
            caffe = backend("caffe").build(self._network, most, **settings)
            return _Series(name, caffe, self._network, self._preprocessing, points)
        chosen = backend(self._args.backend)
        available = chosen.availability(DATA_TYPES[name])
        if not available.ok:
            raise BackendUnavailable(available.reason, available.hint)
        network, preprocessing = at_data_type(self._network, name, self._calibration), self._preprocessing
        if self._args.uint8Input:
            network, preprocessing = taking_pixels(network, preprocessing)
        device = chosen.device()
        with device_lease(device):  # some builders time tactics on it
            engine = inferkit.build(network, backend=self._args.backend, max_batch=most)
        _set_limits(points, network, device)
        return _Series(name, engine, network, preprocessing, points, device)

    def _round(self, series: _Series, number: int, order: random.Random) -> Iterator[SweepPoint]:
        from inferkit.measure.machine.lease import device_lease

        points = series.open_points
        if not points:
            return
        try:
            with device_lease(series.device), series.engine.session() as session:
                for point in order.sample(points, len(points)):
                    try:
                        self._visit(session, series, point, first=number == 1)
                    except InferkitError as error:
                        _give_up(point, error)
                    yield point
        except InferkitError as error:  # the session cannot be opened
            yield from _gave_up(points, error)

    def _visit(self, session: Session, series: _Series, point: SweepPoint, *, first: bool) -> None:
        if first:
            self._classify(session, series, point)
        session.load(self._timed_images(series)[: point.batch_size])
        measured = measure_round(session, point.batch_size, self._args.seconds)
        point.timing = with_round(point.timing, measured)
        if first:
            point.details = _details(session, series, self._args.gpu)

    def _classify(self, session: Session, series: _Series, point: SweepPoint) -> None:
        """The study's iterations: each batch of images once, counted and timed."""
        tally = Tally(PROGRAM, point.batch_size, "NA" if series.name == PYCAFFE else series.name, quiet=True)
        smallest = point.batch_size == self._batches[0]
        classify(
            session,
            self._output,
            self._dataset,
            series.preprocessing,
            tally,
            self._args.iterations,
            warm=_warm,
            network=series.network if smallest else None,
        )
        point.stats, point.repeated = tally.stats(), tally.began_again

    def _timed_images(self, series: _Series) -> NDArray[Any]:
        """The first images of the dataset, as many as the largest batch has; every round is timed on them."""
        dtype = image_type(series.network.inputs[0])
        if dtype not in self._images:
            (batch,) = read_batches(self._dataset, self._batches[-1], 1, series.preprocessing, dtype)
            self._images[dtype] = batch.images
        return self._images[dtype]


def _set_limits(points: Sequence[SweepPoint], network: Network, device: str | None) -> None:
    """Give the points their limits, where the card is one whose data sheet is known."""
    from inferkit.measure.layers.roofline import card_of, limit_of, work_of
    from inferkit.measure.machine.gpu import GpuTelemetry

    card = None if device is None else card_of(GpuTelemetry(device).facts().get("name"))
    if card is None:
        return
    work = work_of(network)
    for point in points:
        point.limit = limit_of(work, network.precision, point.batch_size, card).as_dict()


def _warm(session: Session) -> None:
    """Until times have settled: the study's first iterations were slower for clocks and caches than its later ones."""
    from inferkit.measure.latency.warmup import warm_up

    warm_up(lambda: session.execute().wall, limit=1.0)


def _details(session: Session, series: _Series, caffe_gpu: bool) -> dict[str, Any]:
    from inferkit.measure.machine.gpu import GpuTelemetry

    info = series.engine.info
    if series.name == PYCAFFE:
        return {"caffe": info.version, "threads": session.details()["threads"], "gpu": caffe_gpu}
    return {
        "backend": info.backend,
        "precision": info.precision,
        "input": session.inputs[0].dtype,
        "flavour": info.flavour,
        "version": info.version,
        "engine_bytes": info.size_bytes,
        "build_seconds": info.build_seconds,
        "calibration": series.network.calibration,
        "launch": getattr(session, "launch", None),
        "memory_bytes": session.memory_bytes(),
        "card": None if session.device is None else GpuTelemetry(session.device).facts().get("name"),
    }


def _give_up(point: SweepPoint, error: InferkitError) -> None:
    point.status = "unsupported" if isinstance(error, BackendUnavailable) else "failed"
    point.reason = str(error)


def _gave_up(points: Sequence[SweepPoint], error: InferkitError) -> Iterator[SweepPoint]:
    for point in points:
        _give_up(point, error)
        yield point
