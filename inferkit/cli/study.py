"""What the study's two tools share: options, images from an LMDB, counting what is right, running and reporting."""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inferkit.cli.final_stats import FinalStats, append_row, check_csv
from inferkit.data.dataset import Dataset
from inferkit.data.pixels.mean import read_mean
from inferkit.data.pixels.preprocessing import Preprocessing
from inferkit.errors import BackendError, BackendUnavailable, DataError, InferkitError, UsageError
from inferkit.measure.accuracy.top_k import rank_of_labels

TOP = 5


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """-m -w -l -b -i, as the usage text of both tools has them."""
    parser.add_argument("-m", "--model", required=True, type=Path, help="prototxt of the network")
    parser.add_argument("-w", "--weights", required=True, type=Path, help="caffemodel with the trained weights")
    parser.add_argument("-l", "--lmdb", required=True, help="LMDB with the images to classify, and their labels")
    parser.add_argument("-b", "--batch", type=at_least_one, default=1, help="images per iteration (default: 1)")
    parser.add_argument(
        "-i",
        "--iterations",
        type=at_least_one,
        default=10,
        help="batches to run (default: 10); where the LMDB ends, it begins again",
    )


def at_least_one(text: str) -> int:
    """An option's value as a count."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def run_tool(program: str, body: Callable[[], int]) -> int:
    """The exit code of `body`: an error made on purpose is one line on stderr and 1, or 2 where what was asked for
    cannot be done here at all (usage, a GPU or a Caffe that is not there)."""
    try:
        return body()
    except (UsageError, BackendUnavailable) as error:
        code, message = 2, str(error)
    except InferkitError as error:
        code, message = 1, str(error)
    except KeyboardInterrupt:
        code, message = 130, "interrupted"
    except BrokenPipeError:
        return 1
    print(f"{program}: {'; '.join(line.strip() for line in message.splitlines())}", file=sys.stderr)
    return code


def read_preprocessing(mean_image: str | None, size: tuple[int, int], base: Preprocessing) -> Preprocessing:
    """`base` with the mean image subtracted and the centre cropped to the network's input `size` (height, width)."""
    mean = base.mean if mean_image is None else read_mean(mean_image)
    values = base.mean_values if mean_image is None else ()
    return Preprocessing(base.resize, size, mean, values, base.scale, base.channel_order, base.color)


@dataclass(frozen=True, eq=False)
class StudyBatch:
    """`images` float32 [batch, C, H, W], `labels` int64 [batch], `keys` in the database, whether it began `again`."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    keys: tuple[str, ...]
    again: bool = False


def read_batches(dataset: Dataset, batch: int, iterations: int, preprocessing: Preprocessing) -> Iterator[StudyBatch]:
    """`iterations` full batches of the dataset's images in order; at its end it begins again."""
    left = batch * iterations
    kept: list[StudyBatch] = []
    again = False
    while left > 0:
        for part in dataset.batches(batch, limit=left, preprocessing=preprocessing):
            kept.append(StudyBatch(part.images[: part.count], part.labels[: part.count], part.keys, again))
            left -= part.count
            while sum(len(piece.labels) for piece in kept) >= batch:
                joined = _join(kept)
                yield _slice(joined, 0, batch)
                rest = _slice(joined, batch, len(joined.labels))
                kept = [rest] if len(rest.labels) else []
        again = True


def _join(pieces: Sequence[StudyBatch]) -> StudyBatch:
    if len(pieces) == 1:
        return pieces[0]
    return StudyBatch(
        np.concatenate([piece.images for piece in pieces]),
        np.concatenate([piece.labels for piece in pieces]),
        tuple(key for piece in pieces for key in piece.keys),
        any(piece.again for piece in pieces),
    )


def _slice(batch: StudyBatch, start: int, stop: int) -> StudyBatch:
    return StudyBatch(batch.images[start:stop], batch.labels[start:stop], batch.keys[start:stop], batch.again)


def scores_of(output: NDArray[np.float32], batch: int, blob: str) -> NDArray[np.float32]:
    """A blob of predictions as [batch, classes]. BackendError where it has not one row of scores for each image."""
    if output.ndim < 2 or len(output) != batch or output[0].size < 2:
        raise BackendError(
            f"blob {blob} has the shape {list(output.shape)}, no row of scores for each of {batch} images; "
            "name the blob with the predictions"
        )
    return output.reshape(batch, -1)


def best(scores: NDArray[np.float32], count: int = TOP) -> NDArray[np.int64]:
    """The `count` best classes of each row, best first; of equal scores the class with the smaller number."""
    return np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :count]


@dataclass
class Tally:
    """What a run adds up, iteration by iteration, and how it reports: `quiet` only the end, `debug` every score."""

    program: str
    batch_size: int
    data_type: str
    quiet: bool = False
    debug: bool = False
    names: tuple[str, ...] = ()
    csv_file: Path | None = None
    times: list[float] = field(default_factory=list)
    correct: list[int] = field(default_factory=lambda: [0, 0])
    not_finite: int = 0
    unknown_labels: int = 0
    began_again: bool = False
    started: datetime = field(default_factory=datetime.now)
    clock: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if self.csv_file is not None:
            check_csv(self.csv_file)

    def note(self, text: str) -> None:
        """Something worth knowing that belongs to no figure; on stderr."""
        print(f"{self.program}: {text}", file=sys.stderr)

    def add(self, batch: StudyBatch, scores: NDArray[np.float32], seconds: float) -> None:
        """Count one iteration, and print its predictions unless the run is quiet."""
        rank = rank_of_labels(scores, batch.labels)
        self.times.append(seconds)
        self.correct[0] += int((rank < 1).sum())
        self.correct[1] += int((rank < TOP).sum())
        self.not_finite += int((~np.isfinite(scores)).any(axis=1).sum())
        self.unknown_labels += int(((batch.labels < 0) | (batch.labels >= scores.shape[1])).sum())
        self.began_again |= batch.again
        if not self.quiet:
            ranked = best(scores)
            print(f"Iteration {len(self.times)}: {seconds:.4f} seconds for {len(batch.labels)} images")
            for row, (key, label) in enumerate(zip(batch.keys, batch.labels.tolist(), strict=True)):
                self._print_prediction(key, label, int(rank[row]), ranked[row].tolist(), scores[row])

    def finish(self) -> FinalStats:
        """Print the final stats, and append them to the CSV file where one is asked for."""
        run_seconds = time.perf_counter() - self.clock
        stats = FinalStats(
            self.started,
            socket.gethostname(),
            self.batch_size,
            self.data_type,
            run_seconds,
            tuple(self.times),
            self.correct[0],
            self.correct[1],
        )
        if self.began_again:
            self.note("the images were fewer than the iterations needed; they began again")
        if self.not_finite:
            self.note(f"{self.not_finite} predictions hold NaN or infinity")
        if self.unknown_labels:
            self.note(f"{self.unknown_labels} images have a label that the network has no class for; counted as wrong")
        print("\n".join(stats.lines()))
        if self.csv_file is not None:
            append_row(self.csv_file, stats.row())
        return stats

    def _print_prediction(
        self, key: str, label: int, rank: int, ranked: list[int], scores: NDArray[np.float32]
    ) -> None:
        first = ranked[0]
        mark = "correct" if rank < 1 else f"top {TOP}" if rank < TOP else "wrong"
        print(f"  {key}: {self._name(first)} {scores[first]:.4f} ({mark}, label {self._name(label)})")
        if self.debug:
            for place, number in enumerate(ranked, 1):
                print(f"    {place}. {self._name(number)} {scores[number]:.6f}")

    def _name(self, number: int) -> str:
        return f"{number} {self.names[number]}" if 0 <= number < len(self.names) else str(number)


def check_labels(names: Sequence[str], classes: int, path: str) -> None:
    """DataError where a labels file names fewer classes than the network has."""
    if names and len(names) < classes:
        raise DataError(f"{path} names {len(names)} classes, the network has {classes}")
