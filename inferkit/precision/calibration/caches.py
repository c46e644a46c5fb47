"""TensorRT calibration caches: text files of one hexadecimal scale per tensor, read and written.

    TRT-7000-EntropyCalibration2
    data: 3c000889
    conv1: 3c8954be

The first line (version and algorithm) was missing in the oldest files. A scale is the big-endian hexadecimal form of a
float32, amax / 127; a name may itself hold ": ".
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inferkit.errors import PrecisionError
from inferkit.files import write_atomically
from inferkit.precision.calibration.methods import LEVELS, Calibration

_HEADER = re.compile(r"TRT-(?P<version>[\w.]+)-(?P<algorithm>\w+)")
_SCALE = re.compile(r"[0-9a-fA-F]{1,8}")
_MAGNITUDE = 0x7F800000  # where the infinities and NaN of float32 begin; above 0x80000000 are negative numbers

# TensorRT's algorithm names by method; a method without a counterpart gets the algorithm of INT8.
_ALGORITHMS = {"entropy": "EntropyCalibration2", "max": "MinMaxCalibration"}


@dataclass(frozen=True)
class Header:
    """The first line: TensorRT's version as written there (`7000`), and its algorithm (`EntropyCalibration2`)."""

    version: str
    algorithm: str

    def __str__(self) -> str:
        return f"TRT-{self.version}-{self.algorithm}"


def read_cache(path: Path | str) -> Calibration:
    """The amax values of a calibration cache. PrecisionError, with the line, for any other content."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise PrecisionError(f"calibration cache {path}: cannot be read: {error}") from error
    try:
        header, scales = parse_cache(content)
    except PrecisionError as error:
        raise PrecisionError(f"calibration cache {path}, {error}") from error
    amax = {name: float(scale) * LEVELS for name, scale in scales.items()}
    return Calibration(amax, header.algorithm if header else "cache", f"calibration cache {Path(path).name}")


def parse_cache(content: bytes) -> tuple[Header | None, dict[str, np.float32]]:
    """Header (None where there is none) and scales by tensor name. PrecisionError names the line that is wrong."""
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError as error:
        raise PrecisionError(f"byte {error.start}: is not UTF-8 text") from error
    header: Header | None = None
    scales: dict[str, np.float32] = {}
    for number, raw in enumerate(lines, start=1):
        line = raw.removesuffix("\r")
        if not line.strip():
            continue
        if number == 1 and (match := _HEADER.fullmatch(line.strip())):
            header = Header(match["version"], match["algorithm"])
            continue
        name, separator, digits = line.rpartition(":")
        digits = digits.strip()
        if not separator or not name.strip() or not _SCALE.fullmatch(digits):
            raise PrecisionError(f"line {number}: {line[:80]!r} is not `tensor name: 8 hexadecimal digits`")
        if int(digits, 16) >= _MAGNITUDE:
            raise PrecisionError(f"line {number}: {digits} is not a scale: it is negative, infinite or NaN")
        scale = np.float32(struct.unpack(">f", bytes.fromhex(digits.rjust(8, "0")))[0])
        if scales.setdefault(name, scale) != scale:
            raise PrecisionError(f"line {number}: a second, different scale for {name!r}")
    if not scales:
        raise PrecisionError("line 1: the file has no scale")
    return header, scales


def format_cache(calibration: Calibration, header: Header | None) -> bytes:
    """A cache of these amax values; `header` None leaves the first line out. PrecisionError for unusable names."""
    lines = [] if header is None else [str(header)]
    for name, amax in calibration.amax.items():
        if not name.strip() or "\n" in name or "\r" in name:
            raise PrecisionError(f"tensor name {name!r} cannot be written to a calibration cache")
        scale = struct.pack(">f", np.float32(amax / LEVELS))
        lines.append(f"{name}: {scale.hex()}")
    return ("\n".join(lines) + "\n").encode()


def write_cache(
    path: Path | str, calibration: Calibration, *, version: str = "100300", with_header: bool = True
) -> None:
    """Write a calibration cache, whole or not at all. TensorRT accepts one whose header is of its own `version`."""
    algorithm = _ALGORITHMS.get(calibration.method, "EntropyCalibration2")
    write_atomically(path, format_cache(calibration, Header(version, algorithm) if with_header else None))
