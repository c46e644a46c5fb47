"""The campaign: every selected case measured in fresh processes, the rounds of all cases interleaved, then judged.

Replicate 1 of every case, then replicate 2 of every case: what drifts during a run (heat, neighbours) falls on all
cases alike, instead of on the three replicates of one. Suspicious cases are measured again before their verdict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from inferkit.backends import backend as backend_named
from inferkit.errors import BackendUnavailable, BaselineError, InferkitError
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.judging import Judgements, default_rule, judge
from inferkit.gate.layer_diff import wants_explaining
from inferkit.gate.machines.screening import screened
from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Verdict
from inferkit.gate.rules.rule import LogSamples, Rule
from inferkit.measure.case import Case
from inferkit.measure.engine.prepared_network import prepared_facts
from inferkit.measure.jobs.interpreter import with_environment
from inferkit.measure.jobs.launch import run_replicate
from inferkit.measure.latency.replicate import ReplicateSpec
from inferkit.measure.machine import busy_host
from inferkit.measure.progress import Progress
from inferkit.serve.load.replicate import run_service
from inferkit.suite.campaign.artifacts import Artifacts, own_cache
from inferkit.suite.campaign.builds import lacking, more_processes, next_build, plan_builds, with_spread
from inferkit.suite.campaign.digests import digest_of_network, digest_of_settings
from inferkit.suite.campaign.evaluations import Evaluations
from inferkit.suite.campaign.records import AccuracyRecord, CaseRecord, Unsupported, run_of
from inferkit.suite.campaign.references import References
from inferkit.suite.campaign.services import Logs, judge_accuracy, service_spec
from inferkit.suite.campaign.stored import StoredBaselines
from inferkit.suite.campaign.target import availability, fingerprint_of, measuring_environment
from inferkit.suite.matrix.definition import AccuracyCase, Matrix, NetworkDefinition

# A process's start, load and warm-up when nothing is known yet; seconds.
_FIRST_OVERHEAD = 1.0
_SHORTEST = 0.05
_INVALID_RETRIES = 2
_PROFILED = 2  # further replicates of a suspicious case whose layers are timed: a median of three, with the first


@dataclass(frozen=True)
class CampaignSettings:
    """Seconds. `smoke`: one short replicate per case, nothing is judged. `for_baseline`: noisy cases are measured on
    until a baseline of them can gate at their margin. `reference`: the reference network is measured with the cases.

    `builds` is on how many separately built engines a case is measured where engines are files (None: on several where
    the baseline asks for it, see builds.py). `inject` injects slowdowns, by case id: see
    measure/engine/inject.py. `logs` is the folder for the logs of load generators; without it they go to a temporary
    one, which stays. `family` is how many cases are judged in all where the campaign is given them one by one.
    """

    replicates: int = 3
    min_time: float = 0.5
    time_budget: float | None = None
    smoke: bool = False
    for_baseline: bool = False
    reference: bool = True
    family: int | None = None
    inject: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    builds: int | None = None
    logs: Path | None = None


class Campaign:
    """Measures on request and remembers: asking for the same case again costs nothing. Use as a context manager.

    Several campaigns may share their `artifacts`, which the last of them, or who made them, closes.
    """

    def __init__(
        self,
        matrix: Matrix,
        store: BaselineStore,
        settings: CampaignSettings | None = None,
        rule: Rule | None = None,
        progress: Progress | None = None,
        artifacts: Artifacts | None = None,
    ) -> None:
        self.matrix = matrix
        self.store = store
        self.baselines = StoredBaselines(store)
        self.settings = settings or CampaignSettings()
        self.progress = progress or Progress()
        self.latency: dict[Case, CaseRecord] = {}
        self.accuracy: dict[AccuracyCase, AccuracyRecord] = {}
        self.logs = Logs(self.settings.logs)
        self.references, self.memory_references = References(), References(memory=True)
        self._services = matrix.service_cases()
        # Who adds replicates to cases that are measured already: by id, and how many. A cluster puts itself here.
        self.measure_again: Callable[[Mapping[str, CaseRecord], Mapping[str, int]], None] = self._measure_again
        # Whether a suspect is left to be measured in turns with its base, instead of more often by itself.
        self.is_confirmed: Callable[[CaseRecord], bool] = lambda record: False
        self._rule: Rule = rule or default_rule()
        self._artifacts = artifacts or Artifacts(self._step)
        self.evaluations = Evaluations(matrix, self._artifacts, self._step)
        self._overheads: list[float] = []
        self._began: float | None = None

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the prepared networks."""
        self._artifacts.close()

    def run(self, cases: Sequence[Case], accuracy_cases: Sequence[AccuracyCase] = ()) -> None:
        """Measure and judge all of these. One case's failure is kept in its record and stops nothing else."""
        networks, accuracies = self.matrix.all_cases(), self.matrix.accuracy_cases()
        fresh = [case for case in cases if case not in self.latency]
        for case in fresh:
            self.latency[case] = self.record(case, networks[case])
        records = [self.latency[case] for case in fresh]
        evaluations = [case for case in accuracy_cases if case not in self.accuracy]
        rounds = 1 if self.settings.smoke else self.settings.replicates
        asked = self.settings.reference and not self.settings.smoke
        references = [each for kind in self._machine for each in kind.fresh(records, self.record)] if asked else []
        measured = [*references, *records]
        self.progress.begin(self._steps(measured, evaluations, rounds))
        try:
            self._began = time.monotonic()
            self._artifacts.prepare(
                [
                    *((record.network, record.case.precision) for record in measured if record.open),
                    *((accuracies[case], case.precision) for case in evaluations if _can_run(case)),
                ]
            )
            for number in range(rounds):
                for index, record in enumerate(measured):
                    left = len(measured) * (rounds - number) - index
                    self._replicate(record, left, f"replicate {number + 1} of {rounds}", details=number == 0)
            if not self.settings.smoke:
                self._replace_invalid(measured)
                self.judge(records)
            for accuracy_case in evaluations:
                self.accuracy[accuracy_case] = self.evaluations.assess(accuracy_case, accuracies[accuracy_case])
        finally:
            self.progress.end()

    @property
    def artifacts(self) -> Artifacts:
        """Where networks and engines are made, each once."""
        return self._artifacts

    def measure(self, record: CaseRecord, count: int) -> CaseRecord:
        """A new record of the same case with `count` replicates of this machine, not judged.

        What the machine was not in a state to measure is measured again, at most twice.
        """
        again = self.record(record.case, record.network, record.margin)
        for number in range(count):
            self._replicate(again, count - number, f"replicate {number + 1} of {count}", details=number == 0)
        if not self.settings.smoke:
            self._replace_invalid([again])
        return again

    def judge(self, records: list[CaseRecord]) -> None:
        """Give measured cases their outcomes, all together; more replicates come from `measure_again`."""
        self._measure_builds(records)
        if self.settings.for_baseline:
            self._measure_enough([*(each for kind in self._machine for each in kind.records.values()), *records])
        while True:
            judged = self._judged(records)
            more = self._rule.more([outcome for outcome in judged.outcomes if outcome.metric == LATENCY])
            by_id = {record.case.id: record for record in records}
            more = {case: count for case, count in more.items() if not self.is_confirmed(by_id[case])}
            counts = {case: more_processes(by_id[case], count) for case, count in more.items() if count > 0}
            wanted = {case: count for case, count in counts.items() if count > 0}
            if not wanted:
                break
            for kind in self._machine:
                wanted |= kind.alongside(by_id, wanted)
                by_id |= kind.by_id()
            self.progress.more(sum(wanted.values()))
            self.measure_again(by_id, wanted)
            self._replace_invalid([by_id[case] for case in wanted])
        self.references.movements |= judged.movements
        self.memory_references.movements |= judged.memory_movements
        for record in records:
            outcomes = [outcome for outcome in judged.outcomes if outcome.case == record.case.id]
            record.outcome = next((with_spread(each, record) for each in outcomes if each.metric == LATENCY), None)
            if record.outcome is not None and record.outcome.verdict is Verdict.INVALID and not record.outcome.hint:
                record.outcome = replace(record.outcome, hint=busy_host.hint_for(record.invalid))
            record.others = tuple(each for each in outcomes if each.metric != LATENCY) + judge_accuracy(record)
            record.why = judged.layers.get(record.case.id)
            self._tell_damaged_layers(record)

    def machine_lines(self) -> list[str]:
        """What a report says of the machine, by its reference networks."""
        return [line for kind in self._machine for line in kind.lines(list(self.latency.values()))]

    @property
    def _machine(self) -> tuple[References, References]:
        return self.references, self.memory_references

    def records(self) -> list[CaseRecord | AccuracyRecord]:
        """Every case so far."""
        return [*self.latency.values(), *self.accuracy.values()]

    def record(self, case: Case, network: NetworkDefinition, margin: float | None = None) -> CaseRecord:
        """An empty record of a case: whether it can run here, its fingerprint, its margin."""
        record = CaseRecord(case, network, self.matrix.latency_margin(case, network) if margin is None else margin)
        record.outputs_rule = self.matrix.suite.outputs
        record.least_share = self.matrix.least_share(case, network)
        record.margins = self.matrix.margins_of(case, network)
        available = availability(case.backend, case.precision)
        if not available.ok:
            record.unsupported = Unsupported(available.reason, available.hint)
        else:
            record.fingerprint = fingerprint_of(case.backend, self.matrix.settings(case.backend))
        return record

    def _steps(self, records: Iterable[CaseRecord], evaluations: Iterable[AccuracyCase], rounds: int) -> int:
        """How many processes are planned, as far as it can be known."""
        measured = [record for record in records if record.open]
        runs = [case for case in evaluations if _can_run(case)]
        networks = {(record.case.model, record.case.precision) for record in measured}
        networks |= {(case.model, case.precision) for case in runs}
        backends = [record.case.backend for record in measured] + [case.backend for case in runs]
        engines = sum(backend_named(name).facts.keeps_engine_files for name in backends)
        return len(measured) * rounds + len(runs) + len(networks) + engines

    def _replicate(self, record: CaseRecord, left: int, which: str, details: bool = False) -> None:
        """One more replicate of this case, whatever comes of it. `left`: replicates still planned, this one too."""
        if not record.open:
            return
        case = record.case
        try:
            folder = self._artifacts.network(record.network, case.precision)
            backend = self.matrix.settings(case.backend)
            facts = prepared_facts(folder)
            record.coverage, record.network_digest = facts.get("coverage"), digest_of_network(facts)
            record.settings_digest = digest_of_settings(backend, case.mode, self.settings.inject.get(case.id))
            is_reference = any(case.id in kind.by_id() for kind in self._machine)
            given = self.settings.smoke or case in self._services or is_reference
            if not (record.replicates or given):
                plan_builds(record, self.settings.builds, self.baselines.case(record))
            number = next_build(record)
            engine = self._artifacts.engine(
                folder, case.backend, case.precision, case.batch_size, backend.build, case.id, number
            )
            environment = measuring_environment(case.backend, case.precision, backend.session)
            by = with_environment(None, {**environment, **own_cache(engine.file, number)})
            if case in self._services:
                service, smoke = self._services[case], self.settings.smoke
                of_service = service_spec(
                    case,
                    record.network,
                    service,
                    engine,
                    backend.session,
                    number=len(record.replicates) + len(record.discarded) + 1,
                    logs=self.logs,
                    smoke=smoke,
                )
                with self._step(f"{case.id}, {which}"):
                    record.replicates.append(run_service(of_service, case.id, by=by))
                return
            session = case.session_settings(backend.session)
            min_time = self._share(left)
            spec = ReplicateSpec(
                engine,
                session,
                min_time=min_time,
                # The first may have been spoiled and thrown away; each build is an engine of its own.
                details=details or not any(each.details for each in record.replicates if each.build == (number or 0)),
                inject=self.settings.inject.get(case.id, {}),
            )
            if self.settings.smoke:
                spec = replace(spec, min_iterations=1, max_iterations=3, warmup_limit=0.0, min_time=0.0)
            with self._step(f"{case.id}, {which}"):
                began = time.monotonic()
                record.replicates.append(replace(run_replicate(spec, case.id, by=by), build=number or 0))
                self._overheads.append(max(time.monotonic() - began - min_time, 0.0))
        except BackendUnavailable as error:
            record.unsupported = Unsupported(error.reason, error.hint)
        except InferkitError as error:
            record.failure = str(error)

    def _share(self, left: int) -> float:
        """How long the next replicate may measure: the matrix's time, or its share of what is left of the budget."""
        settings = self.settings
        if settings.time_budget is None or self._began is None:
            return settings.min_time
        remaining = settings.time_budget - (time.monotonic() - self._began)
        overhead = sum(self._overheads) / len(self._overheads) if self._overheads else _FIRST_OVERHEAD
        return min(settings.min_time, max(remaining / max(left, 1) - overhead, _SHORTEST))

    def _replace_invalid(self, records: Sequence[CaseRecord]) -> None:
        """Measure again what the machine was not in a state to measure, at most twice; what stays invalid stays."""
        for _ in range(_INVALID_RETRIES):
            spoiled = [record for record in records if record.open and any(each.invalid for each in record.replicates)]
            count = sum(bool(each.invalid) for record in spoiled for each in record.replicates)
            if not count:
                return
            self.progress.more(count)
            wanted: dict[str, int] = {}
            for record in spoiled:
                invalid = [each for each in record.replicates if each.invalid]
                record.replicates = [each for each in record.replicates if not each.invalid]
                record.discarded += invalid
                wanted[record.case.id] = len(invalid)
            self.measure_again({record.case.id: record for record in spoiled}, wanted)

    def _measure_enough(self, records: Sequence[CaseRecord]) -> None:
        """More replicates of the cases that are too noisy to be a baseline for their margin with so few."""
        from inferkit.gate.rules.enough import more_for_baseline  # needs scipy

        by_id = {record.case.id: record for record in records}
        while True:
            open_ones = [record for record in records if record.open and record.replicates]
            wanted = more_for_baseline(
                [LogSamples(each.case.id, (), each.log_medians, each.margin) for each in open_ones]
            )
            if not wanted:
                return
            self.progress.more(sum(wanted.values()))
            self.measure_again(by_id, wanted)
            self._replace_invalid(open_ones)

    def _judged(self, records: Sequence[CaseRecord]) -> Judgements:
        """Every case that can be judged against its stored baseline, with what the reference networks say."""
        judged = [record for record in records if self._has_evidence(record)]
        base, absent, screens = self.baselines.base(judged)
        head = run_of(judged, self.references.measured(), self.memory_references.measured())
        result = judge(base, head, rule=self._rule, family=self.settings.family, absent=absent)
        return replace(result, outcomes=screened(result.outcomes, screens))

    def _tell_damaged_layers(self, record: CaseRecord) -> None:
        damage = self.baselines.damaged_layers.get(record.slug)
        if damage is not None and record.outcome is not None and wants_explaining(record.outcome):
            parts = (record.outcome.reason, f"its layers cannot be compared: {damage}")
            record.outcome = replace(record.outcome, reason="; ".join(filter(None, parts)))

    def _has_evidence(self, record: CaseRecord) -> bool:
        """Whether the case can be judged; a damaged baseline is the case's failure, not a missing baseline."""
        if record.open and record.fingerprint is not None:
            try:
                self.baselines.find(record.fingerprint)
            except BaselineError as error:
                record.failure = str(error)
        return record.open and bool(record.replicates)

    def _measure_again(self, by_id: Mapping[str, CaseRecord], wanted: Mapping[str, int]) -> None:
        """The wanted replicates, again one round over all cases after the other."""
        left = sum(wanted.values())
        for number in range(max(wanted.values())):
            for case, count in wanted.items():
                if number < count:
                    self._replicate(by_id[case], left, f"again {number + 1} of {count}", details=number < _PROFILED)
                    left -= 1

    def _measure_builds(self, records: Sequence[CaseRecord]) -> None:
        """What is lacking of the cases that are measured on several builds."""
        wanted = {record.case.id: count for record in records if (count := lacking(record))}
        if wanted:
            self.progress.more(sum(wanted.values()))
            self.measure_again({record.case.id: record for record in records}, wanted)
            self._replace_invalid([record for record in records if record.case.id in wanted])

    def _step(self, what: str) -> AbstractContextManager[None]:
        return self.progress.during(what)


def _can_run(case: AccuracyCase) -> bool:
    return availability(case.backend, case.precision).ok
