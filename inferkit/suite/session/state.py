"""The suite within one pytest run: its matrices, its campaigns, and what was selected of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from inferkit.errors import BaselineError, UsageError
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.outcome import FAILING, Outcome, Verdict
from inferkit.gate.rules.rule import Rule
from inferkit.gate.stated.strict import STRICT
from inferkit.gate.stated.waivers import Waiver, needless, today, waived
from inferkit.measure.case import Case
from inferkit.suite.campaign.campaign import Campaign, CampaignSettings
from inferkit.suite.campaign.records import AccuracyRecord, CaseRecord
from inferkit.suite.campaign.target import fingerprint_of
from inferkit.suite.matrix.definition import AccuracyCase, Matrix
from inferkit.suite.matrix.read import load_matrix
from inferkit.suite.matrix.waivers import beside
from inferkit.suite.session.options import FIXTURES, option, selection
from inferkit.suite.session.pytest_benchmark import is_disabled, json_path
from inferkit.suite.session.replay import ReplayTimer
from inferkit.suite.session.xdist import WorkerRun, is_worker

DEFAULT_MATRIX = "matrix.toml"


@dataclass(frozen=True)
class MissingCase:
    """A case that the baseline of this machine has, in `file` and for the fingerprint `slug`, and a matrix has not."""

    id: str
    backend: str
    slug: str
    file: str


@dataclass(frozen=True)
class Parameter:
    """What a test is parametrized with: a case, the matrix that declares it, and the timer to replay its times."""

    case: Case | AccuracyCase | MissingCase
    matrix: Path
    timer: ReplayTimer

    @property
    def id(self) -> str:
        """The case's."""
        return self.case.id

    @property
    def group(self) -> str:
        """In whose table pytest-benchmark shows it: latencies by network, accuracy runs by themselves."""
        return self.case.model if isinstance(self.case, Case) else "accuracy"


@dataclass
class Suite:
    """Everything that lives for one pytest run. Nothing is read before a test asks for cases.

    `test_files` are those whose tests ask for cases.
    `notes` are lines for the end of the run: which files were written, and which were not. `ratchet` are the outcomes
    of comparing with runs of long ago. `unmeasured` are those of cases that no campaign has: they vanished, or were
    refused. `left_out`: tests of the suite were deselected, or the run was stopped before them. In a worker of
    pytest-xdist `family` is how many cases all workers judge; in its controller `gathered` is what the workers
    measured. `files` are those of the networks by matrix and name, with their SHA-256 before the first measurement.
    """

    config: pytest.Config
    matrices: dict[Path, Matrix] = field(default_factory=dict)
    campaigns: dict[Path, Campaign] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    test_files: set[Path] = field(default_factory=set)
    ratchet: tuple[Outcome, ...] = ()
    unmeasured: list[Outcome] = field(default_factory=list)
    left_out: bool = False
    family: int = 0
    gathered: list[WorkerRun] = field(default_factory=list)
    files: dict[Path, dict[str, dict[str, str]]] = field(default_factory=dict)
    _waivers: dict[Path, tuple[Waiver, ...]] = field(default_factory=dict)

    @property
    def store(self) -> BaselineStore:
        """Where the baselines are."""
        given = option(self.config, "baseline-dir")
        return BaselineStore(Path(given) if given else self.config.rootpath / "baselines")

    @property
    def narrowed(self) -> bool:
        """Whether the run is about a part of what its matrices declare, whatever narrowed it: our own options, -k and
        -m, node ids, files that were not named, -x.
        """
        return (
            selection(self.config).narrows
            or self.left_out
            or any("::" in str(argument) for argument in self.config.args)
            or any(run.record["narrowed"] for run in self.gathered)
            or bool(self._not_collected())
        )

    def _not_collected(self) -> set[Path]:
        """Test files beside those of the suite that ask for its fixtures and were not collected."""
        folders = {path.parent for path in self.test_files}
        patterns = self.config.getini("python_files")
        beside = {path for folder in folders for pattern in patterns for path in folder.glob(pattern)}
        return {path for path in beside - self.test_files if _asks_for_cases(path)}

    def matrix_path(self, test_file: Path) -> Path:
        """The matrix that a test file is about. UsageError where there is none."""
        given = option(self.config, "matrix")
        path = self.config.invocation_params.dir / given if given else test_file.parent / DEFAULT_MATRIX
        if not path.is_file():
            raise UsageError(f"{path}: there is no such matrix; write one beside the tests, or name one with --matrix")
        return path

    def matrix(self, path: Path) -> Matrix:
        """The matrix in this file, read once and checked against the selection."""
        if path not in self.matrices:
            matrix = load_matrix(path)
            selection(self.config).check(matrix.all_cases())
            self.waivers(path)
            self.matrices[path] = matrix
        return self.matrices[path]

    def parameters(self, kind: str, test_file: Path) -> list[Parameter]:
        """The selected latency, accuracy or service cases; after the first what only the baselines have."""
        path = self.matrix_path(test_file)
        matrix = self.matrix(path)
        self.test_files.add(test_file)
        selected = selection(self.config)
        cases: list[Case | AccuracyCase | MissingCase] = []
        if kind == "accuracy":
            cases += selected.of(matrix.accuracy_cases())
        elif kind == "service":
            cases += selected.of(matrix.service_cases())
        else:
            cases += [*selected.of(matrix.cases()), *self._missing(matrix)]
        return [Parameter(case, path, ReplayTimer()) for case in cases]

    def declared(self, backends: Collection[str]) -> dict[str, dict[str, None]]:
        """The ids of all cases on these backends in the matrices of this run, by fingerprint slug.

        Matrices that share a backend share its baseline. Complete once all tests are collected.
        """
        declared: dict[str, dict[str, None]] = {}
        for matrix in self.matrices.values():
            cases = matrix.all_cases()
            for backend in dict.fromkeys(case.backend for case in cases if case.backend in backends):
                slug = fingerprint_of(backend, matrix.settings(backend)).slug
                declared.setdefault(slug, {}).update((case.id, None) for case in cases if case.backend == backend)
        return declared

    def needless(self, parameters: Iterable[Parameter]) -> list[Parameter]:
        """Those of cases that vanished from one matrix only, or that the tests of another matrix report already."""
        vanished = [(each, each.case) for each in parameters if isinstance(each.case, MissingCase)]
        declared = self.declared({case.backend for _, case in vanished})
        first: dict[MissingCase, Path] = {}
        return [
            each
            for each, case in vanished
            if case.id in declared.get(case.slug, ()) or first.setdefault(case, each.matrix) != each.matrix
        ]

    def strict(self, path: Path | None = None) -> frozenset[Verdict]:
        """The verdicts that fail beside those that always do: of the cases of one matrix, or of any of this run."""
        given: frozenset[Verdict] = option(self.config, "strict") or frozenset()
        matrices = self.matrices.values() if path is None else [self.matrix(path)]
        return self._but_baselines(given.union(*(matrix.suite.strict for matrix in matrices)))

    def failing(self, parameter: Parameter) -> frozenset[Verdict]:
        """The verdicts that fail a test: always, under --inferkit-strict, and what the matrix requires of its case."""
        return self._failing(parameter.case, parameter.matrix)

    def _failing(self, case: Case | AccuracyCase | MissingCase, path: Path) -> frozenset[Verdict]:
        failing = FAILING | self.strict(path)
        if isinstance(case, MissingCase):
            return failing
        return failing | self._but_baselines(self.matrix(path).require.fails(case))

    @property
    def needs_baseline(self) -> bool:
        """Whether a run is compared with stored baselines: not one that becomes one, or measures its own base."""
        return not (option(self.config, "for-baseline") or option(self.config, "against"))

    def _but_baselines(self, failing: frozenset[Verdict]) -> frozenset[Verdict]:
        """A run that is to become a baseline, or measures its own base, needs no baseline, whoever asks for one."""
        return failing if self.needs_baseline else failing - STRICT["no_baseline"]

    def waivers(self, path: Path) -> tuple[Waiver, ...]:
        """The waivers beside the matrix in this file, read once. UsageError for a file with mistakes."""
        if path not in self._waivers:
            self._waivers[path] = beside(path)
        return self._waivers[path]

    def waived(self, outcomes: Iterable[Outcome], case: Case | AccuracyCase | MissingCase, path: Path) -> list[Outcome]:
        """The outcomes of a case, with what fails and has a waiver as WAIVED."""
        return list(waived(outcomes, self._waivers_of(case, path), today(), self._failing(case, path)))

    def _waivers_of(self, case: Case | AccuracyCase | MissingCase, path: Path) -> Sequence[Waiver]:
        """The waivers beside a matrix that hold on the machine of a case."""
        waivers = self.waivers(path)
        if all(waiver.machine == "*" for waiver in waivers):
            return waivers
        slug = case.slug if isinstance(case, MissingCase) else self._slug(case, path)
        return [waiver for waiver in waivers if waiver.holds_on(slug)]

    def _slug(self, case: Case | AccuracyCase, path: Path) -> str:
        """The fingerprint of where a case was measured (a cluster has other machines), else of this machine."""
        records = (record for campaign in self.campaigns.values() for record in campaign.records())
        measured = next((record.fingerprint for record in records if record.case == case), None)
        return (measured or fingerprint_of(case.backend, self.matrix(path).settings(case.backend))).slug

    def waive(self, path: Path) -> None:
        """Apply the waivers to everything that the campaign over this matrix has judged so far."""
        for record in self.campaigns[path].records() if self.waivers(path) else ():
            if record.outcome is not None:
                (record.outcome,) = self.waived([record.outcome], record.case, path)
            if isinstance(record, CaseRecord):
                record.others = tuple(self.waived(record.others, record.case, path))

    def needless_waivers(self) -> list[str]:
        """A line for each waiver that this run shows to be needless. Nothing where others measured: a run on several
        workers of pytest-xdist, and of cases that were judged against another commit: waivers are about the stored
        baseline."""
        lines = []
        for path, waivers in self._waivers.items():
            matrix = self.matrices[path]
            judged = [each for c in self.campaigns.values() for each in c.records() if not _of_another_base(each)]
            outcomes = [*(outcome for record in judged for outcome in record.outcomes), *self.unmeasured]
            measured = {record.case for record in judged if record.unsupported is None}
            declared: list[Case | AccuracyCase] = [*matrix.all_cases(), *matrix.accuracy_cases()]
            for waiver in waivers:
                about = [case for case in declared if fnmatchcase(case.id, waiver.case)]
                here = [case for case in about if waiver in self._waivers_of(case, path)]
                others = {case.id for case in about} - {case.id for case in here}
                seen = [outcome for outcome in outcomes if outcome.case not in others]
                whole = all(case in measured for case in here)
                failing = FAILING | self.strict(path)
                lines.append(needless(waiver, seen, today(), whole=whole, failing=failing))
        return [line for line in lines if line]

    def campaign(self, path: Path) -> Campaign:
        """The campaign over the matrix in this file."""
        if path not in self.campaigns:
            self.campaigns[path] = Campaign(self.matrix(path), self.store, self._settings(path), self._rule())
        return self.campaigns[path]

    def _rule(self) -> Rule | None:
        """The rule of a worker; None: that of a whole suite."""
        if not is_worker(self.config):
            return None
        from inferkit.gate.rules.moderated import OneByOne  # needs scipy

        return OneByOne(self.family)

    def close(self) -> None:
        """Remove what the campaigns prepared."""
        for campaign in self.campaigns.values():
            campaign.close()

    def _settings(self, path: Path) -> CampaignSettings:
        declared = self.matrix(path).suite
        budget = option(self.config, "time-budget") or declared.time_budget
        if budget is not None and is_worker(self.config):
            # A worker's campaign is given its cases one by one: each gets its part.
            budget *= self.config.workerinput["workercount"] / max(self.family, 1)  # type: ignore[attr-defined]
        return CampaignSettings(
            replicates=option(self.config, "replicates") or declared.replicates,
            min_time=option(self.config, "min-time") or declared.min_time,
            time_budget=budget,
            reference=declared.reference,
            smoke=is_disabled(self.config),
            builds=option(self.config, "builds") or declared.builds,
            for_baseline=bool(option(self.config, "for-baseline")),
            logs=self._logs,
            family=self.family if is_worker(self.config) else None,
        )

    @property
    def _logs(self) -> Path | None:
        """Where load generators leave their logs: beside the run's JSON, where there is one."""
        path = json_path(self.config)
        return None if path is None else Path(path).absolute().with_suffix(".loadgen")

    def _missing(self, matrix: Matrix) -> Iterable[MissingCase]:
        """Cases in this machine's baselines that this matrix does not declare; a narrowed run misses nothing.

        Whether another matrix of the run does is known once that is read: see `needless`.
        """
        if selection(self.config).narrows or not self.store.files():
            return
        declared = {case.id for case in matrix.all_cases()}
        for backend in dict.fromkeys(case.backend for case in matrix.all_cases()):
            fingerprint = fingerprint_of(backend, matrix.settings(backend))
            try:
                baseline = self.store.find(fingerprint)
            except BaselineError:
                continue  # every case of this backend fails for it, with the reason
            for case_id in baseline.cases if baseline else ():
                if case_id not in declared:
                    yield MissingCase(case_id, backend, fingerprint.slug, str(self.store.path(fingerprint)))


def _of_another_base(record: CaseRecord | AccuracyRecord) -> bool:
    """Whether a case was judged against the commit of --against, and not the stored baseline or its commit."""
    return isinstance(record, CaseRecord) and bool(record.base_ref) and not record.confirmed


def _asks_for_cases(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    return any(name in text for name in FIXTURES)
