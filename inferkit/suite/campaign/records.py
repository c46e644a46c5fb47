"""What a campaign knows of each case: what was measured, what went wrong, and the gate's outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.layer_diff import LayerDiff
from inferkit.gate.outcome import Outcome
from inferkit.measure.accuracy.top_k import Accuracy
from inferkit.measure.case import Case
from inferkit.measure.latency.replicate import Replicate
from inferkit.suite.matrix.definition import AccuracyCase, NetworkDefinition


@dataclass(frozen=True)
class Unsupported:
    """Why a case cannot run here, and what the user can do."""

    reason: str
    hint: str


@dataclass
class CaseRecord:
    """One latency case. `failure` says why it has no verdict; then what was measured before is not judged.

    `discarded` are replicates that the machine was not in a state to measure and that were measured again.
    `sides` are the outcomes of the metrics beside the latency; `why` are the layers that explain a changed latency.
    `builds` is on how many separately built engines it is measured, for `builds_reason`; `network_digest` is of the
    network, for engines that are files.
    `before` are the replicates of the commit `against` that an interleaved run measured, none of a stored baseline.
    """

    case: Case
    network: NetworkDefinition
    margin: float
    fingerprint: Fingerprint | None = None
    replicates: list[Replicate] = field(default_factory=list)
    discarded: list[Replicate] = field(default_factory=list)
    unsupported: Unsupported | None = None
    failure: str | None = None
    outcome: Outcome | None = None
    sides: tuple[Outcome, ...] = ()
    why: LayerDiff | None = None
    builds: int = 1
    builds_reason: str = ""
    network_digest: str | None = None
    against: str = ""
    before: list[Replicate] = field(default_factory=list)

    @property
    def log_medians(self) -> tuple[float, ...]:
        """The datum of each replicate."""
        return tuple(replicate.log_median for replicate in self.replicates)

    @property
    def build_numbers(self) -> tuple[int, ...]:
        """Of which build each replicate is; empty where all are of one."""
        numbers = tuple(replicate.build for replicate in self.replicates)
        return numbers if len(set(numbers)) > 1 else ()

    @property
    def service_top1(self) -> float | None:
        """Top-1 of a service's accuracy mode in percent; None where no process ran it.

        One whose times were discarded counts: what disturbed them left the answers as they are.
        """
        told = (each.service.get("top1") for each in (*self.discarded, *self.replicates) if each.service is not None)
        return next((top1 for top1 in told if top1 is not None), None)

    @property
    def open(self) -> bool:
        """Whether there is something to measure."""
        return self.failure is None and self.unsupported is None


@dataclass
class AccuracyRecord:
    """One accuracy case, and the FP32 accuracy that a reduced precision was compared with.

    The fingerprint says in which baseline it is kept; the verdict does not depend on it. `confusion` tells of the
    images that changed their class from FP32 to here (measure/accuracy/confusion.py).
    """

    case: AccuracyCase
    network: NetworkDefinition
    fingerprint: Fingerprint | None = None
    found: Accuracy | None = None
    reference: Accuracy | None = None
    unsupported: Unsupported | None = None
    failure: str | None = None
    outcome: Outcome | None = None
    confusion: Mapping[str, Any] | None = None
