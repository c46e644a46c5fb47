"""The stored baselines of a campaign's machine, as the base of a judgement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from inferkit.errors import BaselineError
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.layer_store import read_layers
from inferkit.gate.files.output_store import read_outputs
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.machines.screening import Screen, is_near
from inferkit.gate.run import CaseRun, Run
from inferkit.suite.campaign.records import CaseRecord


class StoredBaselines:
    """The baselines of a folder, each read once, with the layer tables and outputs beside it."""

    def __init__(self, store: BaselineStore) -> None:
        self._store = store
        self._read: dict[str, Run | str] = {}
        self._screens: dict[str, Screen | None] = {}
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

    def screens(self) -> dict[str, Screen]:
        """The nearest baselines that stood in for those of this machine, by its fingerprint's slug."""
        return {slug: screen for slug, screen in self._screens.items() if screen is not None}

    def _screen(self, fingerprint: Fingerprint) -> Screen | None:
        """The nearest baseline that says anything of a machine without one."""
        slug = fingerprint.slug
        if slug not in self._screens:
            self._screens[slug] = next(
                (
                    Screen(Path(baseline.name).name, baseline, tuple(other.changes(fingerprint)))
                    for baseline in self._store.others(fingerprint)
                    for other in baseline.fingerprints.values()
                    if is_near(other, fingerprint)
                ),
                None,
            )
        return self._screens[slug]

    def case(self, record: CaseRecord) -> CaseRun | None:
        """The stored case of a record; None where there is none, or none that can be read."""
        try:
            baseline = self.find(record.fingerprint) if record.fingerprint is not None else None
        except BaselineError:
            return None
        return baseline.cases.get(record.case.id) if isinstance(baseline, Run) else None

    def base(self, records: Iterable[CaseRecord]) -> tuple[Run, dict[str, str], dict[str, Screen]]:
        """The stored cases of these records as one run, why each of the others is not there, and those that are of the
        nearest baseline only.

        BaselineError where a baseline is damaged.
        """
        fingerprints, cases = dict[str, Fingerprint](), dict[str, CaseRun]()
        references, memory_references = dict[str, CaseRun](), dict[str, CaseRun]()
        absent, screens = dict[str, str](), dict[str, Screen]()
        for record in records:
            assert record.fingerprint is not None
            name = record.case.id
            baseline = self.find(record.fingerprint)
            if isinstance(baseline, str):
                screen = self._screen(record.fingerprint)
                near = None if screen is None else screen.baseline.cases.get(name)
                if screen is None or near is None:
                    absent[name] = baseline
                else:
                    cases[name], screens[name] = replace(near, fingerprint=record.slug), screen
                continue
            fingerprints[record.fingerprint.slug] = record.fingerprint
            references |= baseline.references
            memory_references |= baseline.memory_references
            if name in baseline.cases:
                cases[name] = baseline.cases[name]
            else:
                absent[name] = f"the baseline {self._store.path(record.fingerprint).name} does not have this case"
        stored = Run(fingerprints=fingerprints, cases=cases, references=references, memory_references=memory_references)
        return stored, absent, screens

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
