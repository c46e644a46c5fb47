"""The case matrix on a cluster: one worker measures a case, this process judges all of them, as on one machine.

Latencies and services are placed so that no two run at the same time on one GPU or one CPU socket, and accuracies only
once they are done. All cases of a backend go to one kind of device, the one that most workers have: their latencies
belong to one fingerprint. A case whose worker is lost is measured from the beginning by another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inferkit.backends import DEFAULT_BACKEND
from inferkit.backends import backend as backend_named
from inferkit.cluster.packing import pack
from inferkit.cluster.pool import Pool
from inferkit.cluster.schedule import PoolWorker, Task
from inferkit.cluster.worker import Answer, value_of
from inferkit.errors import BackendUnavailable, InferkitError
from inferkit.measure.case import Case
from inferkit.suite.campaign.campaign import Campaign
from inferkit.suite.campaign.evaluations import ACCURACY_BATCH
from inferkit.suite.campaign.records import CaseRecord, Unsupported
from inferkit.suite.matrix.definition import AccuracyCase, NetworkDefinition


def run_on_cluster(
    campaign: Campaign, address: str, cases: Sequence[Case], accuracy_cases: Sequence[AccuracyCase] = ()
) -> None:
    """Measure and judge these as `campaign.run` does, on the workers of the Ray cluster at `address`.

    Raises what Pool raises. One case's failure is kept in its record and stops nothing else.
    """
    names = {case.backend for case in cases} | {case.backend for case in accuracy_cases}
    on_gpu = {backend_named(name).facts.on_gpu for name in names}
    with Pool(address, on_gpu=True in on_gpu, on_cpu=False in on_gpu) as pool:
        cluster = _Cluster(campaign, pool)
        cluster.latency([case for case in cases if case not in campaign.latency])
        cluster.accuracy([case for case in accuracy_cases if case not in campaign.accuracy])


class _Cluster:
    """One campaign on one pool."""

    def __init__(self, campaign: Campaign, pool: Pool) -> None:
        self._campaign, self._pool = campaign, pool
        self._networks: dict[tuple[str, str], Any] = {}
        self._engines: dict[tuple[str, str, str, int], Any] = {}  # by backend, model, precision and batch
        self._kinds: dict[tuple[str, str], tuple[str | None, BackendUnavailable | None]] = {}
        campaign.measure_again = self._measure_again

    def latency(self, cases: Sequence[Case]) -> None:
        """Measure, then judge all together."""
        campaign = self._campaign
        networks = campaign.matrix.all_cases()
        for case in cases:
            margin = campaign.matrix.latency_margin(case, networks[case])
            margins = campaign.matrix.margins_of(case, networks[case])
            campaign.latency[case] = CaseRecord(
                case,
                networks[case],
                margin,
                margins=margins,
                least_share=campaign.matrix.least_share(case, networks[case]),
            )
        records = [campaign.latency[case] for case in cases]
        rounds = 1 if campaign.settings.smoke else campaign.settings.replicates
        campaign.progress.begin(2 * len(records))
        try:
            self._measure({record.case.id: record for record in records}, {r.case.id: rounds for r in records})
            if not campaign.settings.smoke:
                campaign.judge(records)
        finally:
            campaign.progress.end()

    def accuracy(self, cases: Sequence[AccuracyCase]) -> None:
        """Evaluate them and what they are compared with, then judge each."""
        campaign = self._campaign
        networks = campaign.matrix.accuracy_cases()
        wanted: dict[AccuracyCase, NetworkDefinition] = {}
        for case in cases:
            wanted[case] = networks[case]
            if case.precision != "fp32":
                wanted[self._reference_of(case)] = networks[case]
        ready = self._ready(wanted, ACCURACY_BATCH)
        by_id = {case.id: case for case in wanted}

        def submit(actor: Any, worker: PoolWorker, task: Task) -> Any:
            case = by_id[task.name]
            return actor.accuracy.remote(self._shipped(case), case, wanted[case], *self._content(case, ACCURACY_BATCH))

        def accept(task: Task, worker: PoolWorker, answer: Answer) -> None:
            case = by_id[task.name]
            try:
                evaluated, fingerprint = value_of(answer)
                campaign.evaluations.adopt(case, evaluated, fingerprint)
            except InferkitError as error:
                campaign.evaluations.adopt(case, error, None)
            self._tell(f"{task.name}, accuracy, by {worker.name}")

        self._pool.run([self._task(case, exclusive=False) for case in ready], submit, accept, self._tell)
        for case in cases:
            campaign.accuracy[case] = campaign.evaluations.assess(case, networks[case], self._reference_of(case))

    def _measure_again(self, by_id: Mapping[str, CaseRecord], wanted: Mapping[str, int]) -> None:
        self._measure({case: by_id[case] for case in wanted}, wanted)

    def _measure(self, records: Mapping[str, CaseRecord], counts: Mapping[str, int]) -> None:
        """That many more replicates of each of these; what is invalid was measured again by the worker."""
        cases = {record.case: record.network for record in records.values() if record.open}
        ready = self._ready(cases, None)

        def submit(actor: Any, worker: PoolWorker, task: Task) -> Any:
            case = records[task.name].case
            empty = replace(records[task.name], replicates=[], discarded=[], outcome=None, others=())
            content = self._content(case, case.batch_size)
            return actor.measure.remote(self._shipped(case), empty, counts[task.name], *content)

        def accept(task: Task, worker: PoolWorker, answer: Answer) -> None:
            record = records[task.name]
            try:
                measured: CaseRecord = value_of(answer)
            except InferkitError as error:
                record.failure = str(error)
                return
            record.replicates += measured.replicates
            record.discarded += measured.discarded
            record.fingerprint = record.fingerprint or measured.fingerprint
            record.unsupported, record.failure = measured.unsupported, measured.failure
            self._tell(f"{task.name}, {counts[task.name]} replicates, by {worker.name}")

        self._pool.run([self._task(case, exclusive=True) for case in ready], submit, accept, self._tell)

    def _ready(self, cases: Mapping[Any, NetworkDefinition], batch: int | None) -> list[Any]:
        """Prepare networks in this process, engines on a worker of the right kind; the cases where both succeeded."""
        ready = []
        missing: dict[str, Any] = {}
        for case, network in cases.items():
            try:
                kind = self._kind(case)
                self._network(network, case.precision)
            except InferkitError as error:
                self._failed(case, error)
                continue
            ready.append(case)
            size = batch or case.batch_size
            key = (case.backend, case.model, case.precision, size)
            if backend_named(case.backend).facts.keeps_engine_files and key not in self._engines:
                missing[f"{case.model} {case.precision} batch {size}, {case.backend} engine for {kind}"] = (case, key)

        def submit(actor: Any, worker: PoolWorker, task: Task) -> Any:
            case, key = missing[task.name]
            network = self._networks[case.model, case.precision]
            return actor.engine.remote(self._shipped(case), case, cases[case], key[3], network)

        def accept(task: Task, worker: PoolWorker, answer: Answer) -> None:
            key = missing[task.name][1]
            try:
                self._engines[key] = self._pool.put(value_of(answer))
            except InferkitError as error:
                for waiting in [each for each in ready if (each.backend, each.model, each.precision) == key[:3]]:
                    if (batch or waiting.batch_size) == key[3]:
                        ready.remove(waiting)
                        self._failed(waiting, error)
            self._tell(task.name)

        tasks = [Task(name, frozenset([self._kind(case)])) for name, (case, _) in missing.items()]
        self._pool.run(tasks, submit, accept, self._tell)
        return ready

    def _failed(self, case: Any, error: InferkitError) -> None:
        if isinstance(case, AccuracyCase):
            self._campaign.evaluations.adopt(case, error, None)
            return
        record = self._campaign.latency[case]
        if isinstance(error, BackendUnavailable):
            record.unsupported = Unsupported(error.reason, error.hint)
        else:
            record.failure = str(error)

    def _task(self, case: Any, *, exclusive: bool) -> Task:
        return Task(case.id, frozenset([self._kind(case)]), exclusive)

    def _kind(self, case: Any) -> str:
        """The kind of device that this case's backend and precision run on. BackendUnavailable where none can."""
        key = (case.backend, case.precision)
        if key not in self._kinds:
            self._kinds[key] = self._find_kind(*key)
        kind, refusal = self._kinds[key]
        if kind is None:
            assert refusal is not None
            raise refusal
        return kind

    def _find_kind(self, backend: str, precision: str) -> tuple[str | None, BackendUnavailable | None]:
        on_gpu = backend_named(backend).facts.on_gpu
        kinds = {kind: count for kind, count in self._pool.kinds.items() if kind.startswith("CPU ") is not on_gpu}
        refusal = BackendUnavailable(
            f"the cluster has no {'GPU' if on_gpu else 'CPUs'} for {backend}", "add such nodes"
        )
        for kind in sorted(kinds, key=lambda kind: (-kinds[kind], kind)):
            ok, reason, hint = self._pool.ask(kind, lambda actor: actor.supports.remote(backend, precision))
            if ok:
                return kind, None
            refusal = BackendUnavailable(reason, hint)
        return None, refusal

    def _network(self, network: NetworkDefinition, precision: str) -> Any:
        key = (network.name, precision)
        if key not in self._networks:
            folder: Path = self._campaign.artifacts.network(network, precision)
            self._networks[key] = self._pool.put(pack(folder))
        return self._networks[key]

    def _content(self, case: Any, batch: int) -> tuple[Any, Any]:
        """The shipped network and engine of a case."""
        engine = self._engines.get((case.backend, case.model, case.precision, batch))
        return self._networks[case.model, case.precision], engine

    def _shipped(self, case: Any) -> Any:
        return self._campaign.matrix, replace(self._campaign.settings, logs=None)

    def _reference_of(self, case: AccuracyCase) -> AccuracyCase:
        same = replace(case, precision="fp32")
        try:
            self._kind(same)
        except InferkitError:
            return replace(same, backend=DEFAULT_BACKEND)
        return same

    def _tell(self, line: str) -> None:
        self._campaign.progress.step(line)
        self._campaign.progress.done()
