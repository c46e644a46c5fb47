"""The study's 'Final Stats': the block that its tools print at the end, and the row that they append to a CSV file."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from inferkit.errors import DataError


@dataclass(frozen=True)
class FinalStats:
    """One run of a tool. `times` are the seconds of each iteration's timed region, `run_seconds` those of everything.

    The standard deviation is that of the population (divided by n): the study's sample figures agree with no other.
    """

    started: datetime
    host: str
    batch_size: int
    data_type: str
    run_seconds: float
    times: tuple[float, ...]
    correct_top1: int
    correct_top5: int

    @property
    def predictions(self) -> int:
        """Images that were classified."""
        return len(self.times) * self.batch_size

    def figures(self) -> dict[str, float]:
        """Seconds by the block's names, and images per second."""
        times = np.array(self.times, np.float64)
        total = float(times.sum())
        return {
            "Total": total,
            "Mean": float(times.mean()),
            "Min": float(times.min()),
            "Max": float(times.max()),
            "Range": float(times.max() - times.min()),
            "STD": float(times.std()),
            "Median": float(np.median(times)),
            "Inference time/prediction": total / self.predictions,
            "Images/sec": self.predictions / total if total > 0 else float("inf"),
        }

    def lines(self) -> list[str]:
        """The block, line for line: seconds with four decimals, percent and images/sec with two."""
        figures = self.figures()
        *seconds, images = figures.items()
        first, second = "Final Stats (times in seconds)", "Stats for all iterations"
        return [
            first,
            "-" * len(first),
            f"Date: {self.started:%m/%d/%Y}",
            f"Time: {self.started:%H:%M:%S}",
            f"Host: {self.host}",
            f"Iterations: {len(self.times)}",
            f"Batch size: {self.batch_size}",
            f"Data type: {self.data_type}",
            f"Total run time: {self.run_seconds:.4f}",
            second,
            "-" * len(second),
            f"Total predictions: {self.predictions}",
            f"Correct top 1 predictions: {self.correct_top1}",
            f"Correct top 5 predictions: {self.correct_top5}",
            f"Top 1 accuracy: {self._percent(self.correct_top1):.2f}%",
            f"Top 5 accuracy: {self._percent(self.correct_top5):.2f}%",
            "Inference time --",
            *(f"{name}: {value:.4f}" for name, value in seconds),
            f"{images[0]}: {images[1]:.2f}",
        ]

    def row(self) -> dict[str, str]:
        """The same figures by column for a CSV file, seconds with nine decimals."""
        figures = self.figures()
        *seconds, images = figures.items()
        timed = {f"Inference time {name}" if "/" not in name else name: f"{value:.9f}" for name, value in seconds}
        return {
            "Date": f"{self.started:%m/%d/%Y}",
            "Time": f"{self.started:%H:%M:%S}",
            "Host": self.host,
            "Iterations": str(len(self.times)),
            "Batch size": str(self.batch_size),
            "Data type": self.data_type,
            "Total run time": f"{self.run_seconds:.9f}",
            "Total predictions": str(self.predictions),
            "Correct top 1 predictions": str(self.correct_top1),
            "Correct top 5 predictions": str(self.correct_top5),
            "Top 1 accuracy": f"{self._percent(self.correct_top1):.4f}",
            "Top 5 accuracy": f"{self._percent(self.correct_top5):.4f}",
            **timed,
            images[0]: f"{images[1]:.4f}",
        }

    def _percent(self, count: int) -> float:
        return 100 * count / self.predictions


COLUMNS = tuple(FinalStats(datetime(2018, 3, 8), "", 1, "NA", 1.0, (1.0,), 0, 0).row())
# What `inferkit sweep` adds: the rounds that its curves are made of, seconds.
ROUND_COLUMNS = ("Rounds", "Rounds Median", "Rounds Min", "Rounds Max", "Steady", "Share of limit")
HEADERS = (COLUMNS, (*COLUMNS, *ROUND_COLUMNS))


def check_csv(path: Path) -> None:
    """Check before a long run that a row can be appended to `path`. DataError where it cannot."""
    try:
        if path.exists():
            with path.open("r+b") as file:
                _header(path, file.readline())
        elif not os.access(path.absolute().parent, os.W_OK):
            raise DataError(f"{path}: its folder does not exist or cannot be written to")
    except OSError as error:
        raise DataError(f"{path}: cannot be written to: {error.strerror or error}") from error


def append_row(path: Path, row: Mapping[str, str]) -> None:
    """Append one row, under a header where the file is new or empty; whole, also when several processes append at once.

    A row has the study's columns, or those of the rounds too; a file that has the others' header gets the cells that it
    has columns for. The file is locked meanwhile (flock), and header and row are one write. DataError where the file
    has another header, or the row other columns: then nothing is appended.
    """
    if tuple(row) not in HEADERS:
        raise DataError(f"{path}: a row has the columns {', '.join(COLUMNS)}")
    try:
        with path.open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            columns = _header(path, file.readline())
            if columns:
                file.seek(-1, os.SEEK_END)
                # A writer that was killed, or an editor, may have left the last line open.
                start = b"" if file.read(1) == b"\n" else b"\n"
            else:
                columns = tuple(row)
                start = _line(list(columns))
            file.write(start + _line([row.get(column, "") for column in columns]))
            os.fsync(file.fileno())
    except OSError as error:
        raise DataError(f"{path}: cannot be written to: {error.strerror or error}") from error


def _header(path: Path, line: bytes) -> tuple[str, ...]:
    """The columns of a file by its first line, none for an empty one. DataError where they are not these rows'."""
    if not line:
        return ()
    written = line.decode("utf-8", "replace").rstrip("\r\n")
    for columns in HEADERS:
        if written == _line(list(columns)).decode().rstrip("\n"):
            return columns
    raise DataError(
        f"{path}: the first line is not the header of these rows but {written.strip()[:60]!r}; append to another file"
    )


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()
