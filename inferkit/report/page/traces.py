"""Raw traces as a report shows them: the spread of each replicate, its pace over time, where a batch's time goes."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Trace = NDArray[np.float64]
Traces = Mapping[str, Trace]
Parts = tuple[tuple[str, float], ...]
Quantiles = tuple[float, float, float, float]

_COLUMNS = ("start", "host_to_device", "compute", "device_to_host", "wall", "enqueue")
_PARTS = (("copy in", 1), ("execution", 2), ("copy out", 3))
_WALL = _COLUMNS.index("wall")
_MOST_TRACE_BYTES = 1 << 30
_BINS = 40
_NAME = re.compile(r"(base|before)?\d+")  # of a replicate (`before` in schema 1); there are others in the file


def read_traces(path: Path) -> dict[str, NDArray[np.float64]]:
    """The raw traces of a run; empty where the file is missing, damaged or not what a run writes."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_TRACE_BYTES:
                return {}
        with np.load(path, allow_pickle=False) as content:
            if tuple(str(name) for name in content["columns"]) != _COLUMNS:
                return {}
            found = {name: content[name] for name in content.files if _NAME.fullmatch(name.rpartition("/")[2])}
    except Exception:  # numpy and zipfile raise whatever damaged bytes provoke; a report can do without
        return {}
    return {
        name: trace
        for name, trace in found.items()
        if trace.ndim == 2 and trace.shape[1] == len(_COLUMNS) and len(trace) and trace.dtype.kind == "f"
    }


def quantiles(trace: NDArray[np.float64]) -> Quantiles | None:
    """The 5, 25, 75 and 95 % points of the wall time, seconds; None for fewer than four iterations."""
    if len(trace) < 4:
        return None
    a, b, c, d = np.quantile(trace[:, _WALL], (0.05, 0.25, 0.75, 0.95))
    return (float(a), float(b), float(c), float(d)) if a > 0 else None


def pace(trace: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """(seconds since the first iteration, median wall time) of at most 40 stretches of equally many iterations."""
    good = trace[np.isfinite(trace[:, 0]) & np.isfinite(trace[:, _WALL]) & (trace[:, _WALL] > 0)]
    if not len(good):
        return ()
    parts = np.array_split(good, min(_BINS, len(good)))
    return tuple((float(part[0, 0] - good[0, 0]), float(np.median(part[:, _WALL]))) for part in parts)


def split(traces: Sequence[Trace]) -> Parts:
    """Medians of the parts over all iterations, seconds; without those that the backend does not know (NaN)."""
    if not traces:
        return ()
    everything = np.concatenate(traces)
    known = {name: column[np.isfinite(column)] for name, column in ((n, everything[:, c]) for n, c in _PARTS)}
    return tuple((name, max(float(np.median(times)), 0.0)) for name, times in known.items() if len(times))
