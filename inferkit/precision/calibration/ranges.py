"""Ranges of activations: a histogram of magnitudes per tensor, bit-identical for any order of the images.

The bins lie on a grid whose width is a power of two: a histogram whose range no longer suffices is folded, two
neighbouring bins into one, which is exact. Its final range depends on the largest magnitude alone, so that merging is
associative and commutative, and a calibration can be split, resumed and put together.
"""

from __future__ import annotations

import io
import math
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import PrecisionError

BINS = 2048
# The narrowest range is 2^-100: what is smaller counts as zero. The widest float32 range is 2^128.
_LOWEST_EXPONENT = -100
_CHUNK = 1 << 19  # elements counted at a time: what they become on the way stays in the cache
_TABLES = 4
_FORMAT = 1
_MOST_BYTES = 1 << 28  # unpacked: 16 KiB for each of 16,000 tensors


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of |x| in BINS equal bins over [0, 2^exponent); bin k holds k <= |x| * BINS / 2^exponent < k + 1.

    `maximum` is the largest magnitude itself (0.0 where nothing was seen), always below 2^exponent.
    """

    counts: NDArray[np.int64]
    exponent: int
    maximum: float

    @classmethod
    def empty(cls) -> Histogram:
        return cls(np.zeros(BINS, dtype=np.int64), _LOWEST_EXPONENT, 0.0)

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> Histogram:
        """The histogram of an array (any shape, float32). PrecisionError for NaN or infinite values."""
        flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
        counter = _Counter()
        for start in range(0, flat.size, _CHUNK):
            counter.add(flat[start : start + _CHUNK])
        parts = (cls(counts, exponent, counter.maximum[exponent]) for exponent, counts in counter.counts.items())
        return reduce(cls.merged, parts, cls.empty())

    @property
    def total(self) -> int:
        """How many values were counted, zeros included."""
        return int(self.counts.sum())

    @property
    def width(self) -> float:
        """The width of a bin, a power of two."""
        return math.ldexp(1.0, self.exponent) / BINS

    @property
    def used(self) -> int:
        """How many bins reach up to the maximum: more than half of BINS, unless everything is (nearly) zero."""
        return min(BINS, int(self.maximum / self.width) + 1)

    def merged(self, other: Histogram) -> Histogram:
        """The histogram of both sets of values together; exact."""
        exponent = max(self.exponent, other.exponent)
        counts = self._widened(exponent) + other._widened(exponent)
        return Histogram(counts, exponent, max(self.maximum, other.maximum))

    def _widened(self, exponent: int) -> NDArray[np.int64]:
        doublings = exponent - self.exponent
        if doublings == 0:
            return self.counts
        counts = np.zeros(BINS, dtype=np.int64)
        if doublings >= BINS.bit_length() - 1:
            counts[0] = self.counts.sum()
        else:
            folded = self.counts.reshape(-1, 1 << doublings).sum(axis=1)
            counts[: folded.size] = folded
        return counts

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return (self.exponent, self.maximum) == (other.exponent, other.maximum) and np.array_equal(
            self.counts, other.counts
        )


class _Workspace(threading.local):
    """What a thread counts with, kept from one array to the next: new memory would cost as much as the counting."""

    def __init__(self) -> None:
        self.scaled = np.empty(_CHUNK, dtype=np.float32)
        self.bins = np.empty(_CHUNK, dtype=np.uint16)
        # Neighbours count in different tables: half of all values are the zeros of a ReLU, and a processor that adds
        # to one and the same number again and again waits for itself.
        self.tables = np.resize(np.arange(_TABLES, dtype=np.uint16) * BINS, _CHUNK)


_WORKSPACE = _Workspace()


class _Counter:
    """Counts chunks that fit the cache, each on the grid that its own maximum asks for."""

    def __init__(self) -> None:
        self.counts: dict[int, NDArray[np.int64]] = {}
        self.maximum: dict[int, float] = {}

    def add(self, chunk: NDArray[np.float32]) -> None:
        low, high = float(chunk.min()), float(chunk.max())
        maximum = max(abs(low), abs(high))
        if not math.isfinite(maximum):
            raise PrecisionError("has values that are not finite (NaN or infinity)")
        exponent = max(math.frexp(maximum)[1], _LOWEST_EXPONENT) if maximum else _LOWEST_EXPONENT
        counts = self.counts.setdefault(exponent, np.zeros(BINS, dtype=np.int64))
        self.maximum[exponent] = max(maximum, self.maximum.get(exponent, 0.0))
        if maximum:
            counts += self._count(chunk, exponent, signed=low < 0)
        else:
            counts[0] += chunk.size

    def _count(self, chunk: NDArray[np.float32], exponent: int, signed: bool) -> NDArray[np.int64]:
        """Counts per bin. Scaling by a power of two is exact, and so is cutting to an integer: no bin has rounding."""
        import cv2

        space, size = _WORKSPACE, chunk.size
        scaled, bins = space.scaled[:size], space.bins[:size]
        np.multiply(chunk, _exact_scale(exponent), out=scaled)
        if signed:
            np.abs(scaled, out=scaled)
        np.copyto(bins, scaled, casting="unsafe")
        np.add(bins, space.tables[:size], out=bins)
        # One row: several make calcHist twice as slow. It counts in float32, exact up to 2^24: a chunk is smaller.
        picture = bins.reshape(1, -1)
        counted = cv2.calcHist([picture], [0], None, [BINS * _TABLES], [0, BINS * _TABLES])
        return counted.reshape(_TABLES, BINS).sum(axis=0, dtype=np.int64)


def _exact_scale(exponent: int) -> np.float32:
    """BINS / 2^exponent as float32: exact from 2^-117 to 2^111, all of them normal numbers."""
    return np.float32(math.ldexp(float(BINS), -exponent))


@dataclass(frozen=True)
class Ranges:
    """Histograms by tensor name, and over how many images; what every calibration method starts from."""

    histograms: Mapping[str, Histogram]
    images: int
    source: str = field(default="", compare=False)

    def merged(self, other: Ranges) -> Ranges:
        """The ranges over both sets of images. PrecisionError where they are of different tensors."""
        if set(self.histograms) != set(other.histograms):
            odd = sorted(set(self.histograms) ^ set(other.histograms))
            raise PrecisionError(f"ranges of different tensors cannot be merged; only one of them has {', '.join(odd)}")
        histograms = {name: histogram.merged(other.histograms[name]) for name, histogram in self.histograms.items()}
        return Ranges(histograms, self.images + other.images, self.source or other.source)

    def __iter__(self) -> Iterator[str]:
        return iter(self.histograms)

    def save(self, path: Path | str) -> None:
        """Write an NPZ file, whole or not at all."""
        from inferkit.files import write_atomically

        buffer = io.BytesIO()
        names = list(self.histograms)
        np.savez_compressed(
            buffer,
            format=np.int64(_FORMAT),
            names=np.frombuffer("\0".join(names).encode(), dtype=np.uint8),
            counts=np.array([self.histograms[name].counts for name in names], dtype=np.int64).reshape(-1, BINS),
            exponents=np.array([self.histograms[name].exponent for name in names], dtype=np.int64),
            maxima=np.array([self.histograms[name].maximum for name in names], dtype=np.float64),
            images=np.int64(self.images),
            source=np.frombuffer(self.source.encode(), dtype=np.uint8),
        )
        write_atomically(Path(path), buffer.getvalue())

    @classmethod
    def load(cls, path: Path | str) -> Ranges:
        """Read what `save` wrote. PrecisionError for any other content."""
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
                    raise PrecisionError(
                        f"declares more than {_MOST_BYTES >> 20} MiB of numbers, more than ranges can have"
                    )
            with np.load(Path(path), allow_pickle=False) as file:
                return cls._from_arrays({name: file[name] for name in file.files})
        except OSError as error:
            raise PrecisionError(f"{path}: cannot be read: {error}") from error
        except PrecisionError as error:
            raise PrecisionError(f"{path}: {error}") from error
        except Exception as error:  # numpy and zipfile raise whatever damaged bytes provoke
            raise PrecisionError(f"{path}: is not a file of ranges: {error}") from error

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, NDArray]) -> Ranges:
        if int(arrays["format"]) != _FORMAT:
            raise PrecisionError(
                f"has format {int(arrays['format'])}, but this inferkit reads format {_FORMAT}; calibrate again"
            )
        text = arrays["names"].tobytes().decode()
        names = text.split("\0") if text else []
        counts, exponents, maxima = arrays["counts"], arrays["exponents"], arrays["maxima"]
        sound = (
            counts.shape == (len(names), BINS)
            and counts.dtype == np.int64
            and exponents.shape == maxima.shape == (len(names),)
            and bool((counts >= 0).all())
            and bool((np.isfinite(maxima) & (maxima >= 0) & (maxima < np.ldexp(1.0, exponents.astype(np.int64)))).all())
        )
        if not sound or len(set(names)) != len(names):
            raise PrecisionError("is damaged: histograms, exponents and maxima do not match; calibrate again")
        histograms = {
            name: Histogram(counts[row].copy(), int(exponents[row]), float(maxima[row]))
            for row, name in enumerate(names)
        }
        return cls(histograms, int(arrays["images"]), arrays["source"].tobytes().decode())
