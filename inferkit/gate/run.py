"""A measured case and a run: one type each, whether just measured, read from a run file, a baseline or the history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.precision_share import OtherPrecision
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.metrics import BUILD_TIME, COLD_START, LATENCY, METRICS, SHOW, Metric, of_replicates
from inferkit.gate.outcome import Outcome
from inferkit.gate.stated.margins import Margins
from inferkit.measure.latency.outputs import KeptOutputs
from inferkit.measure.layers.table import LayerTable

_LATENCY = METRICS[LATENCY].datum
# What building anew costs: where the engine of base or head came from a cache, its times are other times.
_OF_BUILDING = frozenset({METRICS[BUILD_TIME].datum, METRICS[COLD_START].datum})


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What every measured case has: its id, the slug of the fingerprint it was measured on, its margin.

    `margin` is of the latency, a share, or of the accuracy, points of top-1; None where it states none. `accepted` is
    the reason that someone gave for accepting a regression. `facts` are for showing: no verdict rests on them.
    """

    case: str
    fingerprint: str
    margin: float | None = None
    accepted: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    def values(self, metric: Metric) -> tuple[float, ...]:
        """The values of a metric in its unit; empty where there are none."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class CaseRun(Measured):
    """A case whose times were taken: a latency, a service, or the reference network.

    `data` are the values of each metric by its datum (metrics.py), one for each replicate, or one of the engine.
    `builds` numbers the engine of each replicate, where there were several. `network` begins the digest of the network
    at its precision, `settings` that of what its engine is built and run with; None where it is not known. `rebuilt`:
    the engine was chosen by timing, so a further build is another engine.
    `margins` are those stated of the metrics beside the latency, by name.
    `replicates_known` is False where the one value hides how many processes there were. `layers` is the layer table.
    `files` are those that the network is made of, with their SHA-256 (suite/matrix/network_files.py).
    `least_share` is the percentage of its work that must run in the precision asked for, None where none must,
    `other_precisions` are the layers that ran in another one.
    `outputs` is what was computed, None where that was not kept; `outputs_rule` what is asked of it (rules/outputs.py).
    """

    data: Mapping[str, tuple[float, ...]]
    builds: tuple[int, ...] = ()
    network: str | None = None
    settings: str | None = None
    rebuilt: bool = False
    margins: Margins = field(default_factory=dict)
    replicates_known: bool = True
    layers: LayerTable = ()
    files: Mapping[str, str] = field(default_factory=dict)
    outputs: KeptOutputs | None = None
    outputs_rule: str = SHOW
    least_share: float | None = None
    other_precisions: tuple[OtherPrecision, ...] = ()

    @property
    def log_medians(self) -> tuple[float, ...]:
        """The datum of the latency: logarithms of the median wall time of each fresh process, seconds."""
        return self.data.get(_LATENCY, ())

    @property
    def several_builds(self) -> bool:
        """Whether its replicates are of several engines."""
        return len(set(self.builds)) > 1

    def values(self, metric: Metric) -> tuple[float, ...]:
        """The values of a metric in its unit; empty where there are none."""
        return metric.plain(self.data.get(metric.datum, ()))

    def without_building(self) -> CaseRun:
        """Without the times that building anew takes."""
        return replace(self, data={datum: values for datum, values in self.data.items() if datum not in _OF_BUILDING})

    def pooled(self, other: CaseRun) -> CaseRun:
        """Replicates of both as one's; of an engine's values, the worst. All else is as it is here.

        Where one of them has several builds, the builds of each are its own.
        """
        builds: tuple[int, ...] = ()
        if self.builds or other.builds:
            first = self.builds or (0,) * len(self.log_medians)
            second = other.builds or (0,) * len(other.log_medians)
            builds = first + tuple(max(first) + 1 + number for number in second)
        data = {}
        for metric in of_replicates():
            both = self.data.get(metric.datum, ()) + other.data.get(metric.datum, ())
            if both:
                worst = min if metric.higher_is_better else max
                data[metric.datum] = (worst(both),) if metric.of_engine else both
        return replace(self, data=data, builds=builds)


@dataclass(frozen=True, kw_only=True, eq=False)
class AccuracyRun(Measured):
    """A case whose answers were counted: top-1 and top-5 in percent of `images`.

    `right` tells for each image whether its label scored best; None where only the percentage is known (a baseline,
    what the matrix declares). `not_finite` counts outputs with NaN or infinity.
    """

    top1: float
    top5: float | None = None
    images: int = 0
    dataset: str = ""
    right: NDArray[np.bool_] | None = None
    not_finite: int = 0

    def values(self, metric: Metric) -> tuple[float, ...]:
        """The one value of `top-1` or `top-5`, in percent."""
        value = {"top1": self.top1, "top5": self.top5}.get(metric.datum)
        return () if value is None else (value,)


@dataclass(frozen=True)
class Origin:
    """Where a run came from, in text: file, commit, ISO date, project, branch, version of inferkit; empty if unknown.

    `dirty`: there were changes that no commit has.
    """

    source: str = ""
    commit: str = ""
    date: str = ""
    project: str = ""
    branch: str = ""
    version: str = ""
    dirty: bool = False


@dataclass(frozen=True, eq=False)
class Run:
    """A run: its cases, its accuracies, and what it was judged as.

    `name` is its file. `references` are the reference network by fingerprint slug, each with its version as its case,
    `memory_references` the one that the memory bounds.
    `invalid` says why the machine was not in a state to measure a case, `failures` why a case could not be measured.
    `declared` are the ids of all declared cases by fingerprint slug; `narrowed`: not all of them were asked for.
    `busy_host` are cases that were measured while others used the CPUs, which the user had accepted.
    `ours` is False for files that inferkit did not write, `smoke`: it ran once, for its paths, not for its times.
    `files` is of how many runs it is pooled, `remarks` say what of its file was left out. `record` is the whole
    `inferkit` key, for showing.
    """

    name: str = ""
    fingerprints: Mapping[str, Fingerprint] = field(default_factory=dict)
    cases: Mapping[str, CaseRun] = field(default_factory=dict)
    accuracy: Mapping[str, AccuracyRun] = field(default_factory=dict)
    references: Mapping[str, CaseRun] = field(default_factory=dict)
    memory_references: Mapping[str, CaseRun] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    invalid: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)
    ours: bool = True
    narrowed: bool = False
    smoke: bool = False
    busy_host: tuple[str, ...] = ()
    files: int = 1
    remarks: tuple[str, ...] = ()
    record: Mapping[str, object] = field(default_factory=dict)

    def of(self, slug: str) -> Run:
        """The part that was measured on one kind of machine."""
        known = self.fingerprints.get(slug)
        mine = [{slug: each[slug]} if slug in each else {} for each in (self.references, self.memory_references)]
        return replace(
            self,
            fingerprints={} if known is None else {slug: known},
            cases={name: case for name, case in self.cases.items() if case.fingerprint == slug},
            accuracy={name: case for name, case in self.accuracy.items() if case.fingerprint == slug},
            references=mine[0],
            memory_references=mine[1],
        )
