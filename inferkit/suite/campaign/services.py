"""Service cases of a campaign: the specification of one process, its spread, and the verdict on its accuracy mode."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from inferkit.gate.metrics import ACCURACY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.measure.case import Case
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.serve.load.replicate import ServiceSpec
from inferkit.suite.campaign.records import CaseRecord, tolerance_of
from inferkit.suite.matrix.definition import NetworkDefinition, ServiceDefinition

_SMOKE_SECONDS = 0.05


class Logs:
    """The folder of the load generators' logs, made when the first is written; a temporary one stays, too."""

    def __init__(self, wanted: Path | None) -> None:
        self._wanted = wanted
        self.folder: Path | None = None

    def of(self, case: str, number: int) -> Path:
        """A folder for one process of this case."""
        if self.folder is None:
            self.folder = self._wanted or Path(tempfile.mkdtemp(prefix="inferkit-loadgen-"))
        return self.folder / case / str(number)


def service_spec(
    case: Case,
    network: NetworkDefinition,
    service: ServiceDefinition,
    engine: EngineSpec,
    session: Mapping[str, Any],
    *,
    number: int,
    logs: Logs,
    smoke: bool = False,
) -> ServiceSpec:
    """What process `number` (from 1) of a case runs. Accuracy mode is asked of the first only: it says the same."""
    return ServiceSpec(
        engine,
        case.mode,
        str(logs.of(case.id, number)),
        session,
        dataset=network.dataset,
        preprocessing=network.image_preprocessing,
        delay=service.delay,
        bound=service.p99,
        seconds=_SMOKE_SECONDS if smoke else service.duration,
        samples=service.samples,
        samples_per_query=service.samples_per_query,
        accuracy=service.accuracy and network.dataset is not None and number == 1 and not smoke,
        search=not smoke,
    )


def judge_accuracy(record: CaseRecord) -> tuple[Outcome, ...]:
    """Top-1 of accuracy mode against what the network declares; nothing where either is not known."""
    top1, declared = record.service_top1, record.network.top1
    if top1 is None or declared is None:
        return ()
    is_reference, tolerance = record.case.precision == "fp32", tolerance_of(record)
    lost = declared - top1
    # A reference that is better than it should be is another network, or other images.
    is_worse = abs(lost) > tolerance if is_reference else lost > tolerance
    verdict = Verdict.REGRESSED if is_worse else Verdict.PASS
    outcome = Outcome(record.case.id, ACCURACY, verdict, declared, top1, lost, margin=tolerance)
    return (outcome,)


def with_service_spread(outcome: Outcome, record: CaseRecord) -> Outcome:
    """An undecided service's outcome with how much its processes differ, and what the user can do about it."""
    values = record.log_medians
    service = record.replicates[-1].service if record.replicates else None
    if outcome.verdict is not Verdict.INCONCLUSIVE or service is None or len(values) < 2:
        return outcome
    spread = math.expm1(max(values) - min(values))
    reason = f"the {service['datum']} of its {len(values)} processes differs by up to {spread:.1%}"
    return replace(
        outcome,
        reason="; ".join(filter(None, (outcome.reason, reason))),
        hint=outcome.hint or "state a longer `duration`, or measure more replicates (--replicates)",
    )
