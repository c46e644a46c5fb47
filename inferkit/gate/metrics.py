"""The metrics of a case as one table: name, unit, direction, datum, rule and default margin of each.

Latency is a row like the others. A new metric is a new row: run files and baselines keep its datum, `judge` judges it,
and the history remembers it, without another line elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING

from inferkit.gate.units import Unit

if TYPE_CHECKING:
    from inferkit.measure.latency.replicate import Replicate

LATENCY = "latency"
ACCURACY = "top-1"
TOP5 = "top-5"
P99 = "p99"
EXECUTION = "execution"  # on the device, by its own clock: the wall time without copies and the host
BUILD_TIME = "build time"
COLD_START = "cold start"
HOST_MEMORY = "host memory"
DEVICE_MEMORY = "device memory"
ENGINE_SIZE = "engine size"
PRECISION_SHARE = "precision share"  # of the work, that ran in the precision asked for
OUTPUTS = "outputs"  # what was computed, against what base computed of the same inputs
REFERENCE = "reference"  # the latency of the reference network
# What the matrix may ask of the outputs: to be shown, to be the same to the bit, to be within the precision's rounding.
OUTPUT_RULES = SHOW, SAME, CLOSE = "show", "same", "close"
# What a case is about, the first that it has (a service has both); all else that is judged stands beside it.
MAIN = (LATENCY, ACCURACY)

# Replicates on a shared CPU differ by 10 % on a bad day; a smaller margin would give false alarms there.
CPU_MARGIN = 0.25
# Of files that state none, compared with each other: what pytest-benchmark's users mostly choose. How much processes
# differ is seen from the files, so a narrow margin gives no false alarms, only cases that stay undecided.
COMPARED_MARGIN = 0.05
# Points of top-1 that a reduced precision may lose against FP32 on the same images.
ACCURACY_TOLERANCE = 0.5
# What rounding on other hardware may move in an FP32 network: ten images of ten thousand.
REFERENCE_TOLERANCE = 0.1
# What is counted in bytes may differ for no reason: a node that was renamed, tactics that were chosen by timing.
ENGINE_MARGIN = 0.02
# What a builder that times its kernels may compute elsewhere in one build, and not in the next: small layers.
PRECISION_SHARE_MARGIN = 0.05
# Percent of the work asked for at a precision that must run in it, where the matrix does not say.
LEAST_PRECISION_SHARE = 95.0
# Two of three replicates that agree by chance look like a case without noise.
FEWEST = 3


class Test(StrEnum):
    """How a change of a metric is judged (judging.py)."""

    __test__ = False  # no test class of pytest's

    SUITE = "the rule of the suite, with interim analyses; a change must exceed a share of the margin"
    SHARE = "moderated t on logarithms; a change must exceed the same share of the margin"
    MARGIN = "moderated t on logarithms; a change must exceed the whole margin"
    BUILDS = "as MARGIN, one value for each build; of few builds, twice as long and two seconds"
    EXACT = "value by value: beyond the margin is a change"
    PAIRED = "example by example on the same inputs; points lost must stay within the tolerance"
    NONE = "kept and shown, not judged"


# What a metric is of one case: its mode (`latency`, `throughput`, a scenario) and its replicates, to one value each.
Datum = Callable[[str, Sequence["Replicate"]], Sequence[float]]


@dataclass(frozen=True)
class Metric:
    """One row. `datum` is the key of its values in files, `of` finds them in a case's replicates.

    Values are of each replicate, in `unit`, or their natural logarithms where `logarithmic`; under Test.EXACT there is
    one, of the engine. `margin` is a share (0.1: 10 %; under Test.PAIRED points), None the case's latency margin,
    `margin_factor` times. Changes of less than `floor` (in `unit`) count as none. `fewest` replicates are needed of
    either of base and head, and FEWEST of one of them. `machine`: a slower machine makes it worse too.
    `only_rebuilt`: it is judged only of engines that are chosen by timing. A margin that is stated for a case
    (margins.py) takes the place of this one.
    """

    name: str
    unit: Unit
    datum: str
    test: Test
    of: Datum = lambda mode, replicates: ()
    margin: float | None = None
    margin_factor: float = 1.0
    higher_is_better: bool = False
    logarithmic: bool = False
    floor: float = 0.0
    fewest: int = FEWEST
    machine: bool = False
    only_rebuilt: bool = False

    @property
    def of_engine(self) -> bool:
        """Whether there is one value of the engine instead of one for each replicate."""
        return self.test is Test.EXACT

    def logs(self, values: Sequence[float]) -> tuple[float, ...]:
        """Natural logarithms of the data, larger is worse; none at all where a value has none."""
        if not self.logarithmic:
            if not all(value > 0 for value in values):
                return ()  # what is left would be another experiment
            values = [math.log(value) for value in values]
        return tuple(-value for value in values) if self.higher_is_better else tuple(values)

    def plain(self, values: Sequence[float]) -> tuple[float, ...]:
        """The data in `unit`."""
        return tuple(math.exp(value) for value in values) if self.logarithmic else tuple(map(float, values))

    def margin_of(self, latency_margin: float) -> float:
        """The margin that holds for a case with this latency margin, where none is stated."""
        return self.margin_factor * (latency_margin if self.margin is None else self.margin)


def _of_each(name: str, alike: bool = False) -> Datum:
    """What every replicate that knows it says under this name.

    `alike`: only those that found their kernels compiled, where there are any: compiling takes seconds and a gigabyte.
    """

    def values(mode: str, replicates: Sequence[Replicate]) -> list[float]:
        chosen = [each for each in replicates if not (alike and each.compiled)] or replicates
        return [value for each in chosen if (value := getattr(each, name)) is not None]

    return values


def _of_engine(name: str) -> Datum:
    return lambda mode, replicates: middle([getattr(each, name) for each in replicates])


def _lowest(name: str) -> Datum:
    """The lowest value of the replicates that know one: each build is an engine of its own."""

    def values(mode: str, replicates: Sequence[Replicate]) -> list[float]:
        known = [value for each in replicates if (value := getattr(each, name)) is not None]
        return [min(known)] if known else []

    return values


def _log_execution(mode: str, replicates: Sequence[Replicate]) -> list[float]:
    """None on a CPU, where it is the wall time, and in rounds, whose parts overlap."""
    import numpy as np

    from inferkit.measure.latency.iterations import COMPUTE

    if mode == "throughput" or any(each.gpu is None for each in replicates):
        return []
    medians = [float(np.median(each.trace[:, COMPUTE])) for each in replicates]
    return [math.log(value) for value in medians] if all(value > 0 for value in medians) else []


def _log_p99(mode: str, replicates: Sequence[Replicate]) -> list[float]:
    """None where a replicate has too few samples for one, and in rounds: the mean of a round hides its tail.

    None either where others used the CPUs that it ran on: one time slice of theirs is longer than many an engine takes.
    """
    from inferkit.measure.latency.statistics import percentile

    if mode == "throughput" or any(each.on_busy_cpus for each in replicates):
        return []
    tails = [percentile(each.walls, 99.0) for each in replicates]
    return [] if None in tails else [math.log(value) for value in tails if value is not None]


def middle(values: Sequence[int | None]) -> list[float]:
    """The median of the values that are known, in a list; empty where none is."""
    known = [value for value in values if value is not None]
    return [int(median(known))] if known else []


# In this order they are judged, shown and remembered (the history's ids of runs rest on it). Memory and cold start need
# two replicates only: one of three may have compiled kernels for the others. Floors: bytes and seconds that allocators
# and the start of a process move by.
_ROWS = (
    Metric(LATENCY, Unit.SECONDS, "log_medians", Test.SUITE, _of_each("log_median"), logarithmic=True, machine=True),
    # Where others use the machine's bus and host as well, it shows that an engine is 2 % slower.
    Metric(EXECUTION, Unit.SECONDS, "log_execution", Test.SHARE, _log_execution, logarithmic=True, machine=True),
    Metric(P99, Unit.SECONDS, "log_p99", Test.MARGIN, _log_p99, margin_factor=2.0, logarithmic=True, machine=True),
    Metric(HOST_MEMORY, Unit.BYTES, "memories", Test.MARGIN, _of_each("memory", alike=True), 0.10,
           floor=4 << 20, fewest=2),
    Metric(BUILD_TIME, Unit.SECONDS, "build_seconds", Test.BUILDS, _of_each("build_seconds"), 0.25,
           floor=0.1, machine=True),
    Metric(COLD_START, Unit.SECONDS, "cold_start", Test.MARGIN, _of_each("cold_start", alike=True), 0.50,
           floor=0.5, fewest=2, machine=True),
    Metric(DEVICE_MEMORY, Unit.BYTES, "device_memory", Test.EXACT, _of_engine("device_memory"), ENGINE_MARGIN,
           only_rebuilt=True),  # other backends compute in host memory, which is judged as such
    Metric(ENGINE_SIZE, Unit.BYTES, "engine_bytes", Test.EXACT, _of_engine("engine_bytes"), ENGINE_MARGIN),
    Metric(PRECISION_SHARE, Unit.PERCENT, "precision_share", Test.EXACT, _lowest("precision_share"),
           PRECISION_SHARE_MARGIN, higher_is_better=True),  # rules/precision_share.py asks for the least of it
    Metric(ACCURACY, Unit.PERCENT, "top1", Test.PAIRED, margin=ACCURACY_TOLERANCE, higher_is_better=True),
    Metric(TOP5, Unit.PERCENT, "top5", Test.NONE, higher_is_better=True),
    Metric(REFERENCE, Unit.SECONDS, "log_medians", Test.NONE, logarithmic=True, machine=True),
    # No plain values: gate/rules/outputs.py judges them.
    Metric(OUTPUTS, Unit.COUNT, "outputs", Test.NONE),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ROWS}


def of_replicates() -> tuple[Metric, ...]:
    """The metrics whose data come from a case's replicates, in the order of the table."""
    return tuple(metric for metric in METRICS.values() if metric.test not in (Test.PAIRED, Test.NONE))


def data_of(mode: str, replicates: Sequence[Replicate]) -> dict[str, tuple[float, ...]]:
    """What a case's replicates say of every metric, by datum; without those that they say nothing of."""
    data = {metric.datum: tuple(metric.of(mode, replicates)) for metric in of_replicates()}
    return {datum: values for datum, values in data.items() if values}


def main_metric(case: str) -> str:
    """What a case is about, from its id where no file says it: that of a latency names its batch size (`b8`)."""
    words = case.split("-")
    return LATENCY if any(word[:1] == "b" and word[1:].isdigit() for word in words) else ACCURACY


def named(name: str) -> Metric | None:
    """The row of a metric; of `latency since v1.2` that of the latency. None for a name that no row has."""
    rows: Mapping[str, Metric] = METRICS
    return rows.get(name) or rows.get(name.partition(" since ")[0])


def shower(name: str) -> Callable[[float], str]:
    """What writes a value of this metric; seconds for a name that no row has."""
    metric = named(name)
    return (metric.unit if metric is not None else Unit.SECONDS).show


def is_timed(name: str) -> bool:
    """Whether a slower machine makes this metric worse."""
    metric = named(name)
    return metric is not None and metric.machine
