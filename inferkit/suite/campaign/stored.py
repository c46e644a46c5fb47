"""The stored baselines of a campaign's machine, as the base of a judgement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from inferkit.errors import BaselineError
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.layer_store import read_layers
from inferkit.gate.files.output_store import read_outputs
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.run import CaseRun, Run
from inferkit.suite.campaign.records import CaseRecord


class StoredBaselines:
    """The baselines of a folder, each read once, with the layer tables and outputs beside it."""

    def __init__(self, store: BaselineStore) -> None:
        self._store = store
        self._read: dict[str, Run | str] = {}
        # By fingerprint slug: why the layer tables beside a baseline cannot be read. No verdict rests on them.
        self.damaged_layers: dict[str, str] = {}

    def find(self, fingerprint: Fingerprint) -> Run | str:
        """The stored baseline, or why there is none. BaselineError where it is damaged."""
        slug = fingerprint.slug
        if slug not in self._read:
            baseline = self._store.find(fingerprint)
            self._read[slug] = self._store.absence(fingerprint) if baseline is None else self._with_beside(baseline)
        return self._read[slug]

    def found(self) -> dict[str, Run]:
        """Those that were read, by fingerprint slug."""
        return {slug: baseline for slug, baseline in self._read.items() if isinstance(baseline, Run)}

    def case(self, record: CaseRecord) -> CaseRun | None:
        """The stored case of a record; None where there is none, or none that can be read."""
        try:
            baseline = self.find(record.fingerprint) if record.fingerprint is not None else None
        except BaselineError:
            return None
        return baseline.cases.get(record.case.id) if isinstance(baseline, Run) else None

    def base(self, records: Iterable[CaseRecord]) -> tuple[Run, dict[str, str]]:
        """The stored cases of these records as one run, and why each of the others is not there.

        BaselineError where a baseline is damaged.
        """
        fingerprints, cases = dict[str, Fingerprint](), dict[str, CaseRun]()
        references, memory_references = dict[str, CaseRun](), dict[str, CaseRun]()
        absent = dict[str, str]()
        for record in records:
            assert record.fingerprint is not None
            name = record.case.id
            baseline = self.find(record.fingerprint)
            if isinstance(baseline, str):
                absent[name] = baseline
                continue
            fingerprints[record.fingerprint.slug] = record.fingerprint
            references |= baseline.references
            memory_references |= baseline.memory_references
            if name in baseline.cases:
                cases[name] = baseline.cases[name]
            else:
                absent[name] = f"the baseline {self._store.path(record.fingerprint).name} does not have this case"
        stored = Run(fingerprints=fingerprints, cases=cases, references=references, memory_references=memory_references)
        return stored, absent

    def _with_beside(self, baseline: Run) -> Run:
        """BaselineError for outputs that are damaged: what the matrix asks of them could not be judged."""
        ((slug, fingerprint),) = baseline.fingerprints.items()
        outputs = read_outputs(self._store.path(fingerprint))
        cases = {name: replace(case, outputs=outputs.get(name)) for name, case in baseline.cases.items()}
        try:
            tables = read_layers(self._store.path(fingerprint))
        except BaselineError as error:
            self.damaged_layers[slug] = str(error)
            return replace(baseline, cases=cases)
        cases = {name: replace(case, layers=tables.get(name, ())) for name, case in cases.items()}
        return replace(baseline, cases=cases)
