"""Accuracies of a campaign: each case is evaluated once, on this machine or another, and judged by its reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from inferkit.backends import DEFAULT_BACKEND
from inferkit.errors import BackendUnavailable, InferkitError
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.judging import judge
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.run import AccuracyRun, Run
from inferkit.measure.accuracy.confusion import confusion
from inferkit.measure.accuracy.top_k import Accuracy, AccuracySpec
from inferkit.measure.engine.prepared_network import prepared_facts
from inferkit.measure.jobs.interpreter import with_environment
from inferkit.measure.jobs.launch import run_accuracy
from inferkit.suite.campaign.artifacts import Artifacts, Step
from inferkit.suite.campaign.records import AccuracyRecord, Unsupported, tolerance_of
from inferkit.suite.campaign.target import availability, fingerprint_of, measuring_environment
from inferkit.suite.matrix.definition import AccuracyCase, Matrix, NetworkDefinition

ACCURACY_BATCH = 100


class Evaluations:
    """The accuracies evaluated so far. `step` shows one process while it runs."""

    def __init__(self, matrix: Matrix, artifacts: Artifacts, step: Step) -> None:
        self._matrix, self._artifacts, self._step = matrix, artifacts, step
        self._evaluated: dict[AccuracyCase, Accuracy | InferkitError] = {}
        self._adopted: dict[AccuracyCase, Fingerprint] = {}
        self._coverage: dict[AccuracyCase, Mapping[str, Any] | None] = {}

    def evaluate(self, case: AccuracyCase, network: NetworkDefinition) -> tuple[Accuracy, Fingerprint]:
        """The accuracy of this case on this machine, and the machine's fingerprint. Raises what went wrong."""
        return self._evaluate(case, network), fingerprint_of(case.backend, self._matrix.settings(case.backend))

    def adopt(self, case: AccuracyCase, result: Accuracy | InferkitError, fingerprint: Fingerprint | None) -> None:
        """Take the accuracy that another machine evaluated, or its error: it is not evaluated again."""
        self._evaluated[case] = result
        if fingerprint is not None:
            self._adopted[case] = fingerprint

    def assess(
        self, case: AccuracyCase, network: NetworkDefinition, reference: AccuracyCase | None = None
    ) -> AccuracyRecord:
        """Evaluate a case and what it is compared with (default: FP32 where it runs), and judge it."""
        record = AccuracyRecord(case, network, margins=self._matrix.margins_of(case, network))
        try:
            if case in self._adopted:
                record.fingerprint = self._adopted[case]
            elif availability(case.backend, case.precision).ok:
                record.fingerprint = fingerprint_of(case.backend, self._matrix.settings(case.backend))
            if case.precision != "fp32":
                record.reference = self._evaluate(reference or self._reference_of(case), network)
            record.accuracy = self._evaluate(case, network)
            record.outcome = _judged(record)
            record.coverage = self._coverage.get(case)
            if record.reference is not None:
                assert network.dataset is not None
                record.confusion = confusion(record.reference.predictions, record.accuracy.predictions, network.dataset)
        except BackendUnavailable as error:
            record.unsupported = Unsupported(error.reason, error.hint)
        except InferkitError as error:
            record.failure = str(error)
        return record

    def _reference_of(self, case: AccuracyCase) -> AccuracyCase:
        """FP32 on the same backend, or on the one that runs everywhere where that backend has no FP32."""
        same = availability(case.backend, "fp32").ok
        return replace(case, precision="fp32", backend=case.backend if same else DEFAULT_BACKEND)

    def _evaluate(self, case: AccuracyCase, network: NetworkDefinition) -> Accuracy:
        """The accuracy of this case, measured once however many cases are compared with it."""
        if case not in self._evaluated:
            try:
                self._evaluated[case] = self._evaluate_now(case, network)
            except InferkitError as error:
                self._evaluated[case] = error
        result = self._evaluated[case]
        if isinstance(result, InferkitError):
            raise result
        return result

    def _evaluate_now(self, case: AccuracyCase, network: NetworkDefinition) -> Accuracy:
        available = availability(case.backend, case.precision)
        if not available.ok:
            raise BackendUnavailable(available.reason, available.hint)
        assert network.dataset is not None
        folder = self._artifacts.network(network, case.precision)
        self._coverage[case] = prepared_facts(folder).get("coverage")
        backend = self._matrix.settings(case.backend)
        engine = self._artifacts.engine(folder, case.backend, case.precision, ACCURACY_BATCH, backend.build, case.id)
        spec = AccuracySpec(engine, network.dataset, network.image_preprocessing, backend.session)
        with self._step(f"{case.id}, accuracy"):
            by = with_environment(None, measuring_environment(case.backend, case.precision, backend.session))
            return run_accuracy(spec, case.id, by=by)


def _judged(record: AccuracyRecord) -> Outcome:
    """A reduced precision against FP32 on the same images, FP32 against what the matrix declares."""
    assert record.accuracy is not None
    head, declared = record.measured(record.accuracy), record.network.top1
    base: AccuracyRun | None = None
    if record.reference is not None:
        base = record.measured(record.reference)
    elif declared is not None:
        base = AccuracyRun(case=head.case, fingerprint=head.fingerprint, top1=declared)
    (outcome,) = judge(
        Run(accuracy={} if base is None else {head.case: base}),
        Run(accuracy={head.case: replace(head, margin=tolerance_of(record))}),
        absent={head.case: "the matrix declares no top-1"},
    ).outcomes
    if outcome.verdict is Verdict.NO_BASELINE:
        return replace(outcome, hint=f"add `top1 = {head.top1:.2f}` to its table in the matrix")
    return outcome
