"""What the study's two tools share: their options, counting what is right, and reporting it."""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inferkit.cli.final_stats import FinalStats, append_row, check_csv
from inferkit.cli.option_types import at_least_one
from inferkit.cli.study_images import StudyBatch
from inferkit.errors import BackendError, DataError
from inferkit.measure.accuracy.top_k import rank_of_labels

TOP = 5


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """-m -w -l -b -i, in the order of the study's usage text."""
    parser.add_argument("-m", "--model", required=True, type=Path, help="prototxt of the network")
    parser.add_argument("-w", "--weights", required=True, type=Path, help="caffemodel with the trained weights")
    parser.add_argument("-l", "--lmdb", required=True, help="LMDB with the images to classify and their labels")
    parser.add_argument("-b", "--batch", type=at_least_one, default=1, help="images per iteration (default: 1)")
    parser.add_argument(
        "-i",
        "--iterations",
        type=at_least_one,
        default=10,
        help="batches to run (default: 10); the LMDB is repeated where it has fewer images",
    )


def scores_of(output: NDArray[np.float32], batch: int, blob: str) -> NDArray[np.float32]:
    """A blob of predictions as [batch, classes]. BackendError where it has not one row of scores for each image."""
    if output.ndim < 2 or len(output) != batch or output[0].size < 2:
        raise BackendError(
            f"blob {blob} has the shape {list(output.shape)}, not a row of scores for each of {batch} images; "
            "name the blob with the predictions"
        )
    return output.reshape(batch, -1)


def best(scores: NDArray[np.float32], count: int = TOP) -> NDArray[np.int64]:
    """The `count` best classes of each row, best first; of equal scores the class with the smaller number."""
    return np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :count]


@dataclass
class Tally:
    """The sums of a run, iteration by iteration, and how it reports: `quiet` only the end, `debug` every score."""

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
        """Print a note on stderr."""
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
        """Print the final stats, and append them to the CSV file where one is named."""
        stats = self.stats()
        print("\n".join(stats.lines()))
        if self.csv_file is not None:
            append_row(self.csv_file, stats.row())
        return stats

    def stats(self) -> FinalStats:
        """The final stats, after notes on what is wrong with the images or predictions."""
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
            self.note("the iterations needed more images than there are; the images were repeated")
        if self.not_finite:
            self.note(f"{self.not_finite} predictions contain NaN or infinity")
        if self.unknown_labels:
            self.note(f"{self.unknown_labels} images have a label for which the network has no class; counted as wrong")
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
