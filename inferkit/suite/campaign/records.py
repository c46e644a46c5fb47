"""A case on its way through a campaign: what was measured so far, what went wrong, and the gate's outcomes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from inferkit.backends import backend
from inferkit.backends.layer_table import LayerTable
from inferkit.backends.precision_share import others_from
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.layer_diff import LayerDiff
from inferkit.gate.metrics import ACCURACY, ACCURACY_TOLERANCE, LATENCY, REFERENCE_TOLERANCE, SHOW, data_of
from inferkit.gate.outcome import Outcome, failed
from inferkit.gate.run import AccuracyRun, CaseRun, Run
from inferkit.gate.stated.margins import Margins
from inferkit.measure.accuracy.top_k import Accuracy
from inferkit.measure.case import Case
from inferkit.measure.latency.outputs import KeptOutputs
from inferkit.measure.latency.replicate import Replicate
from inferkit.measure.layers.table import median_table, readable_table
from inferkit.suite.matrix.definition import AccuracyCase, NetworkDefinition


@dataclass(frozen=True)
class Unsupported:
    """Why a case cannot run here, and what the user can do."""

    reason: str
    hint: str


@dataclass
class CaseRecord:
    """One latency case. `failure` says why it has no verdict; then what was measured before is not judged.

    `margin` is the latency's, a share, `margins` what is stated of any metric.
    `discarded` are replicates that the machine was not in a state to measure and that were measured again.
    `others` are the outcomes of the metrics beside the latency; `why` are the layers that explain a changed latency.
    `builds` is on how many separately built engines it is measured, for `builds_reason`. `network_digest` is of the
    network at its precision, `settings_digest` of what its engine is built and run with: see `CaseRun`.
    `coverage` is the share of the work that is at the precision, and a sentence on it; None where that is all.
    `base` are the replicates of the commit `base_ref` that an interleaved run measured, none of a stored baseline.
    `screened` is what the stored baseline had said of the latency before that run, which was made for `confirmed`.
    `outputs_rule` is what the matrix asks of the outputs, `least_share` how many percent of the work must run in the
    precision asked for; None where none must.
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
    others: tuple[Outcome, ...] = ()
    why: LayerDiff | None = None
    builds: int = 1
    builds_reason: str = ""
    network_digest: str | None = None
    settings_digest: str | None = None
    coverage: Mapping[str, Any] | None = None
    base_ref: str = ""
    base: list[Replicate] = field(default_factory=list)
    screened: Outcome | None = None
    confirmed: str = ""
    outputs_rule: str = SHOW
    least_share: float | None = None
    margins: Margins = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """Its fingerprint's, empty where it has none."""
        return "" if self.fingerprint is None else self.fingerprint.slug

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
        services = [each.service for each in (*self.discarded, *self.replicates) if each.service is not None]
        return next((service["top1"] for service in services if service.get("top1") is not None), None)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Everything that the case was judged as, the latency first; FAILED alone where it could not be measured."""
        if self.failure is not None:
            return (failed(self.case.id, LATENCY, _reason(self.case, self.failure)),)
        return (*(() if self.outcome is None else (self.outcome,)), *self.others)

    @property
    def open(self) -> bool:
        """Whether there is something to measure."""
        return self.failure is None and self.unsupported is None

    @property
    def invalid(self) -> str:
        """Why the machine was not in a state to measure; empty where it was."""
        return once_each([reason for each in self.replicates for reason in each.invalid])

    def measured(self) -> CaseRun:
        """What was measured so far, for the gate."""
        run = case_run(self.case, self.replicates, self.margin, self.slug, self.margins)
        return replace(
            run,
            builds=self.build_numbers,
            network=self.network_digest,
            settings=self.settings_digest,
            outputs_rule=self.outputs_rule,
            least_share=self.least_share,
        )


def once_each(reasons: Sequence[str]) -> str:
    """What processes say that differs in figures alone, as how busy others were, is said once, with their number."""
    alike: dict[str, list[str]] = {}
    for reason in reasons:
        alike.setdefault(re.sub(r"[\d.]+", "0", reason), []).append(reason)
    return ", ".join(each[0] + (f" (and {len(each) - 1} more like it)" if each[1:] else "") for each in alike.values())


def case_run(
    case: Case, replicates: Sequence[Replicate], margin: float, fingerprint: str, margins: Margins | None = None
) -> CaseRun:
    """The replicates of a case, for the gate; `margin` is a share, `fingerprint` a slug, `margins` of other metrics."""
    return CaseRun(
        case=case.id,
        fingerprint=fingerprint,
        margin=margin,
        margins=margins or {},
        data=data_of(case.mode, replicates),
        rebuilt=backend(case.backend).facts.rebuilt_by_timing,
        layers=layers_of(replicates),
        outputs=outputs_of(replicates),
        other_precisions=others_from(precision_share_of(replicates).get("others")),
    )


def tolerance_of(record: CaseRecord | AccuracyRecord) -> float:
    """Points of top-1 that a case may lose: against FP32 on the same images; FP32 itself against what is declared."""
    stated = record.margins.get(ACCURACY)
    if stated is not None:
        return stated.amount
    return REFERENCE_TOLERANCE if record.case.precision == "fp32" else ACCURACY_TOLERANCE


def run_of(
    records: Iterable[CaseRecord],
    references: Mapping[str, CaseRun] | None = None,
    memory_references: Mapping[str, CaseRun] | None = None,
) -> Run:
    """What was measured of these cases as a run, for the gate; references by fingerprint slug."""
    judged = [record for record in records if record.open and record.replicates and record.slug]
    return Run(
        fingerprints={record.slug: record.fingerprint for record in judged if record.fingerprint is not None},
        cases={record.case.id: record.measured() for record in judged},
        references=references or {},
        memory_references=memory_references or {},
        invalid={record.case.id: record.invalid for record in judged if record.invalid},
    )


def _reason(case: Case | AccuracyCase, failure: str) -> str:
    """Why a case failed, without what its id says already."""
    return failure.removeprefix(f"{case.model} at {case.precision}: ")


def layers_of(replicates: Iterable[Replicate]) -> LayerTable:
    """The layer table of these replicates: the medians of those that were profiled; empty where none was."""
    tables = (readable_table(replicate.details.get("layers")) for replicate in replicates)
    return median_table([table for table in tables if table])


def precision_share_of(replicates: Iterable[Replicate]) -> Mapping[str, Any]:
    """What is known of the work that ran in the precision asked for, of the engine with the lowest share; see
    PrecisionShare.as_dict. Empty where no replicate was asked.
    """
    known = [share for each in replicates if isinstance(share := each.details.get("precision_share"), Mapping)]
    return min(known, key=lambda share: share.get("percent", 101.0), default={})


def outputs_of(replicates: Iterable[Replicate]) -> KeptOutputs | None:
    """What the first of these replicates that kept its outputs computed; None where none did."""
    kept = next((replicate.outputs for replicate in replicates if replicate.outputs), None)
    return None if kept is None else KeptOutputs.from_dict(kept)


@dataclass
class AccuracyRecord:
    """One accuracy case, and the FP32 accuracy that a reduced precision was compared with.

    The fingerprint says in which baseline it is kept; the verdict does not depend on it. `confusion` tells of the
    images that changed their class from FP32 to here (measure/accuracy/confusion.py). `coverage`: as of a CaseRecord.
    """

    case: AccuracyCase
    network: NetworkDefinition
    fingerprint: Fingerprint | None = None
    accuracy: Accuracy | None = None
    reference: Accuracy | None = None
    unsupported: Unsupported | None = None
    failure: str | None = None
    outcome: Outcome | None = None
    confusion: Mapping[str, Any] | None = None
    coverage: Mapping[str, Any] | None = None
    margins: Margins = field(default_factory=dict)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What the case was judged as; FAILED where it could not be evaluated."""
        if self.failure is not None:
            return (failed(self.case.id, ACCURACY, _reason(self.case, self.failure)),)
        return () if self.outcome is None else (self.outcome,)

    def measured(self, accuracy: Accuracy) -> AccuracyRun:
        """What was counted (`accuracy`), for the gate."""
        return AccuracyRun(
            case=self.case.id,
            fingerprint=self.fingerprint.slug if self.fingerprint is not None else "",
            top1=accuracy.top1_percent,
            top5=accuracy.top5_percent,
            images=accuracy.images,
            dataset=self.network.dataset or "",
            right=accuracy.top1,
            not_finite=accuracy.not_finite,
        )
