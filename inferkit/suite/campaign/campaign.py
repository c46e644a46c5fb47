"""The campaign: every selected case measured in fresh processes, the rounds of all cases interleaved, then judged.

Replicate 1 of every case, then replicate 2 of every case: what drifts during a run (heat, neighbours) falls on all
cases alike, instead of on the three replicates of one. Suspicious cases are measured again before their verdict.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from inferkit.errors import BackendUnavailable, BaselineError, InferkitError
from inferkit.gate.builds import comparable, judge_levels
from inferkit.gate.files.baseline import Baseline, BaselineStore, CaseBaseline
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.rules.default import default_rule
from inferkit.gate.rules.rule import CaseLatency, Rule
from inferkit.gate.side import SideCase, SideFacts, judge_sides
from inferkit.measure.case import Case
from inferkit.measure.engine.engine_file import FILE_BACKENDS
from inferkit.measure.jobs.interpreter import with_environment
from inferkit.measure.jobs.launch import run_replicate
from inferkit.measure.latency.replicate import ReplicateSpec
from inferkit.measure.progress import Progress
from inferkit.serve.load.replicate import run_service
from inferkit.suite.campaign.artifacts import Workshop, own_cache
from inferkit.suite.campaign.builds import lacking, more_processes, next_build, plan_builds, with_spread
from inferkit.suite.campaign.evaluations import Evaluations
from inferkit.suite.campaign.explain import explain_records
from inferkit.suite.campaign.facts import latency_facts
from inferkit.suite.campaign.records import AccuracyRecord, CaseRecord, Unsupported
from inferkit.suite.campaign.references import References
from inferkit.suite.campaign.services import Logs, judge_accuracy, service_spec
from inferkit.suite.campaign.settings import Settings
from inferkit.suite.campaign.target import availability, fingerprint_of, measuring_environment
from inferkit.suite.matrix.definition import AccuracyCase, Matrix, NetworkDefinition

# A process's start, load and warm-up when nothing is known yet; seconds.
_FIRST_OVERHEAD = 1.0
_SHORTEST = 0.05
_INVALID_RETRIES = 2
_PROFILED = 2  # further replicates of a suspicious case whose layers are timed: a median of three, with the first


class Campaign:
    """Measures on request and remembers: asking for the same case again costs nothing. Use as a context manager.

    Several campaigns may share a `workshop`, which the last of them, or its maker, closes.
    """

    def __init__(
        self,
        matrix: Matrix,
        store: BaselineStore,
        settings: Settings | None = None,
        rule: Rule | None = None,
        progress: Progress | None = None,
        workshop: Workshop | None = None,
    ) -> None:
        self.matrix = matrix
        self.store = store
        self.settings = settings or Settings()
        self.progress = progress or Progress()
        self.latency: dict[Case, CaseRecord] = {}
        self.accuracy: dict[AccuracyCase, AccuracyRecord] = {}
        self.logs = Logs(self.settings.logs)
        self.references = References()
        self._services = matrix.service_cases()
        # Who adds replicates to cases that are measured already: by id, and how many. A cluster puts itself here.
        self.measure_again: Callable[[Mapping[str, CaseRecord], Mapping[str, int]], None] = self._measure_again
        self._rule: Rule = rule or default_rule()
        self._workshop = workshop or Workshop(self._step)
        self.evaluations = Evaluations(matrix, self._workshop, self._step)
        self._baselines: dict[str, Baseline | str] = {}
        self._overheads: list[float] = []
        self._began: float | None = None

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the prepared networks."""
        self._workshop.close()

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
        references = self.references.fresh(records, self.record) if asked else []
        measured = [*references, *records]
        self.progress.begin(self._steps(measured, evaluations, rounds))
        try:
            self._began = time.monotonic()
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
    def workshop(self) -> Workshop:
        """Where networks and engines are made, each once."""
        return self._workshop

    def measure(self, record: CaseRecord, count: int) -> CaseRecord:
        """A new record of the same case with `count` replicates of this machine, not judged.

        What the machine was not in a state to measure is measured again, at most twice.
        """
        found = self.record(record.case, record.network, record.margin)
        for number in range(count):
            self._replicate(found, count - number, f"replicate {number + 1} of {count}", details=number == 0)
        if not self.settings.smoke:
            self._replace_invalid([found])
        return found

    def judge(self, records: list[CaseRecord]) -> None:
        """Give measured cases their outcomes, all together; more replicates come from `measure_again`."""
        self._measure_builds(records)
        if self.settings.for_baseline:
            self._measure_enough([*self.references.records.values(), *records])
        self._judge(records)
        explain_records(records, self.store)
        self._judge_sides(records)
        self.references.judge(records, self._stored)

    def records(self) -> list[CaseRecord | AccuracyRecord]:
        """Every case so far."""
        return [*self.latency.values(), *self.accuracy.values()]

    def record(self, case: Case, network: NetworkDefinition, margin: float | None = None) -> CaseRecord:
        """An empty record of a case: whether it can run here, its fingerprint, its margin."""
        record = CaseRecord(case, network, self.matrix.latency_margin(case, network) if margin is None else margin)
        found = availability(case.backend, case.precision)
        if not found.ok:
            record.unsupported = Unsupported(found.reason, found.hint)
        else:
            record.fingerprint = fingerprint_of(case.backend, self.matrix.settings(case.backend))
        return record

    def _steps(self, records: Iterable[CaseRecord], evaluations: Iterable[AccuracyCase], rounds: int) -> int:
        """How many processes are planned, as far as it can be known."""
        measured = [record for record in records if record.open]
        runs = [case for case in evaluations if availability(case.backend, case.precision).ok]
        networks = {(record.case.model, record.case.precision) for record in measured}
        networks |= {(case.model, case.precision) for case in runs}
        backends = [record.case.backend for record in measured] + [case.backend for case in runs]
        engines = sum(backend in FILE_BACKENDS for backend in backends)
        return len(measured) * rounds + len(runs) + len(networks) + engines

    def _replicate(self, record: CaseRecord, left: int, which: str, details: bool = False) -> None:
        """One more replicate of this case, whatever comes of it. `left`: replicates still planned, this one too."""
        if not record.open:
            return
        case = record.case
        try:
            folder = self._workshop.network(record.network, case.precision)
            backend = self.matrix.settings(case.backend)
            given = self.settings.smoke or case in self._services or case.id in self.references.by_id()
            if not (record.replicates or given):
                plan_builds(record, self.settings.builds, folder, self._stored_case(record))
            number = next_build(record)
            engine = self._workshop.engine(
                folder, case.backend, case.precision, case.batch_size, backend.build, case.id, number
            )
            environment = measuring_environment(case.backend, case.precision, backend.session)
            by = with_environment(None, {**environment, **own_cache(engine, number)})
            if case in self._services:
                spec_of_service = service_spec(
                    record,
                    self._services[case],
                    backend,
                    prepared=folder,
                    engine=engine,
                    logs=self.logs,
                    smoke=self.settings.smoke,
                )
                with self._step(f"{case.id}, {which}"):
                    record.replicates.append(run_service(spec_of_service, case.id, by=by))
                return
            session = dict(backend.session) if case.mode == "latency" else {**backend.session, "mode": case.mode}
            min_time = self._share(left)
            spec = ReplicateSpec(
                str(folder),
                case.backend,
                case.batch_size,
                backend.build,
                session,
                min_time=min_time,
                # The first may have been spoiled and thrown away.
                details=details or not any(each.details for each in record.replicates),
                engine=engine,
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
            evidence = [CaseLatency(each.case.id, each.log_medians, (), each.margin) for each in open_ones]
            wanted = more_for_baseline(evidence)
            if not wanted:
                return
            self.progress.more(sum(wanted.values()))
            self.measure_again(by_id, wanted)
            self._replace_invalid(open_ones)

    def _judge(self, records: list[CaseRecord]) -> None:
        """Ask the rule until it wants no more replicates, then give every case its outcome."""
        rounds = 0
        while True:
            judged = [record for record in records if self._has_evidence(record)]
            rebuilt = {record.case.id: self._on_engines(record) for record in judged}
            outcomes = judge_levels(self._rule, [self._evidence(record) for record in judged], rebuilt)
            by_id = {record.case.id: record for record in judged}
            for outcome in outcomes:
                by_id[outcome.case].outcome = with_spread(outcome, by_id[outcome.case])
            more = self._rule.more(outcomes, rounds)
            counts = {case: more_processes(by_id[case], count) for case, count in more.items() if count > 0}
            wanted = {case: count for case, count in counts.items() if count > 0}
            if not wanted:
                return
            wanted |= self.references.alongside(by_id, wanted)
            by_id |= self.references.by_id()
            self.progress.more(sum(wanted.values()))
            self.measure_again(by_id, wanted)
            self._replace_invalid([by_id[case] for case in wanted])
            rounds += 1

    def _judge_sides(self, records: Sequence[CaseRecord]) -> None:
        """The metrics beside the latency, for the cases that have one to be compared with."""
        cases = []
        for record in records:
            if record.outcome is None or record.outcome.baseline is None or record.fingerprint is None:
                continue
            stored = self._baseline(record.fingerprint)
            assert isinstance(stored, Baseline)
            before = SideFacts.of(stored.cases[record.case.id].__dict__)
            now = SideFacts.of(latency_facts(record))
            if bool(record.build_numbers) != (len(set(stored.cases[record.case.id].builds)) > 1):
                now = now.without_building()
            rebuilt = record.case.backend in FILE_BACKENDS
            cases.append(SideCase(record.case.id, now, before, record.margin, rebuilt))
        outcomes = judge_sides(cases, self.settings.family)
        for record in records:
            of_case = tuple(outcome for outcome in outcomes if outcome.case == record.case.id)
            record.sides = of_case + judge_accuracy(record)

    def _has_evidence(self, record: CaseRecord) -> bool:
        """Whether the case can be judged; a damaged baseline is the case's failure, not a missing baseline."""
        if record.open and record.fingerprint is not None:
            try:
                self._baseline(record.fingerprint)
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

    def _evidence(self, record: CaseRecord) -> CaseLatency:
        assert record.fingerprint is not None
        invalid = tuple(dict.fromkeys(reason for each in record.replicates for reason in each.invalid))
        stored = self._baseline(record.fingerprint)
        if isinstance(stored, str):
            return CaseLatency(record.case.id, record.log_medians, (), record.margin, stored, invalid)
        if record.case.id not in stored.cases:
            absence = f"the baseline {self.store.path(record.fingerprint).name} does not have this case"
            return CaseLatency(record.case.id, record.log_medians, (), record.margin, absence, invalid)
        case = stored.cases[record.case.id]
        now, baseline = comparable(record.log_medians, record.build_numbers, case.log_medians, case.builds)
        return CaseLatency(record.case.id, now, baseline, record.margin, invalid=invalid)

    def _stored_case(self, record: CaseRecord) -> CaseBaseline | None:
        """What that baseline has of the record's case."""
        found = self._stored(record)
        return None if found is None else found.cases.get(record.case.id)

    def _on_engines(self, record: CaseRecord) -> bool:
        """Whether a case's replicates are engines: either side has several builds."""
        stored = self._stored_case(record)
        return bool(record.build_numbers or (stored is not None and len(set(stored.builds)) > 1))

    def _measure_builds(self, records: Sequence[CaseRecord]) -> None:
        """What is lacking of the cases that are measured on several builds."""
        wanted = {record.case.id: count for record in records if (count := lacking(record))}
        if wanted:
            self.progress.more(sum(wanted.values()))
            self.measure_again({record.case.id: record for record in records}, wanted)
            self._replace_invalid([record for record in records if record.case.id in wanted])

    def baselines(self) -> dict[str, Baseline]:
        """The stored baselines that this run was compared with, by fingerprint."""
        return {slug: found for slug, found in self._baselines.items() if isinstance(found, Baseline)}

    def _baseline(self, fingerprint: Fingerprint) -> Baseline | str:
        """The stored baseline, or why there is none. BaselineError where it is damaged."""
        slug = fingerprint.slug
        if slug not in self._baselines:
            self._baselines[slug] = self.store.find(fingerprint) or self.store.absence(fingerprint)
        return self._baselines[slug]

    def _stored(self, record: CaseRecord) -> Baseline | None:
        """The baseline that a record is compared with; None where there is none, or none that can be read."""
        with contextlib.suppress(BaselineError):
            found = self._baseline(record.fingerprint) if record.fingerprint is not None else None
            return found if isinstance(found, Baseline) else None
        return None

    @contextlib.contextmanager
    def _step(self, what: str) -> Any:
        self.progress.step(what)
        try:
            yield
        finally:
            self.progress.done()
