"""The reference network within a campaign: the backends it is measured on, and what it says of the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from inferkit.backends import backend
from inferkit.gate.reference import ARITHMETIC, MEMORY, Movement
from inferkit.gate.run import CaseRun
from inferkit.measure.case import Case
from inferkit.suite.campaign.records import CaseRecord
from inferkit.suite.matrix.definition import NetworkDefinition


@dataclass
class References:
    """The reference of each kind of machine (fingerprint slug) that a campaign measures on, measured once.

    `memory`: the one that the memory bounds.
    """

    memory: bool = False
    records: dict[str, CaseRecord] = field(default_factory=dict)
    movements: dict[str, Movement] = field(default_factory=dict)

    def fresh(self, records: Iterable[CaseRecord], empty: Callable[..., CaseRecord]) -> list[CaseRecord]:
        """Empty records (made by `empty`) of the references that these cases need and that are not there yet."""
        fresh = []
        for record in records:
            name = record.case.backend
            facts = backend(name).facts
            stated = facts.memory_reference if self.memory else facts.reference
            if stated is None or not record.open or record.slug in self.records:
                continue
            network = NetworkDefinition(stated.name, stated.name, batch_sizes=(stated.batch_size,), backends=(name,))
            reference = empty(Case(stated.name, stated.precision, stated.batch_size, name), network)
            if reference.open and reference.fingerprint == record.fingerprint:
                self.records[record.slug] = reference
                fresh.append(reference)
        return fresh

    def by_id(self) -> dict[str, CaseRecord]:
        """The references by their case's id."""
        return {record.case.id: record for record in self.records.values()}

    def alongside(self, cases: Mapping[str, CaseRecord], wanted: Mapping[str, int]) -> dict[str, int]:
        """How often references are measured when cases are `wanted` so often again: like the most wanted case."""
        counts: dict[str, int] = {}
        for name, count in wanted.items():
            reference = self.records.get(cases[name].slug)
            if reference is not None and reference.open:
                counts[reference.case.id] = max(count, counts.get(reference.case.id, 0))
        return counts

    def measured(self) -> dict[str, CaseRun]:
        """Those that say anything of the machine, for the gate, by fingerprint slug; a reference is its version."""
        return {
            slug: replace(record.measured(), case=_version(record), layers=())
            for slug, record in self.records.items()
            if _usable(record)
        }

    def lines(self, records: Sequence[CaseRecord]) -> list[str]:
        """What a report says of the machine: one line for each kind of machine that there is something to say of."""
        lines = [
            f"{record.case.backend}: {self._useless(record)}" for record in self.records.values() if not _usable(record)
        ]
        for slug, moved in self.movements.items():
            line = moved.line([each.outcome for each in records if each.outcome is not None and each.slug == slug])
            if line:
                lines.append(f"{self.records[slug].case.backend}: {line}")
        return lines

    def _useless(self, record: CaseRecord) -> str:
        """Why a reference says nothing of the machine."""
        why = record.failure or (record.unsupported.reason if record.unsupported else record.invalid)
        what = MEMORY if self.memory else ARITHMETIC
        return f"{what} could not be measured, so a change of the machine would not be noticed: {why}"

    def as_dict(self) -> dict[str, Any]:
        """For a run's JSON, by fingerprint slug; without those that could not be measured properly."""
        return {
            slug: {
                "name": measured.case,
                "case": self.records[slug].case.id,
                "log_medians": list(measured.log_medians),
                "margin": measured.margin,
                **(self.movements[slug].as_dict() if slug in self.movements else {}),
            }
            for slug, measured in self.measured().items()
        }


def _version(record: CaseRecord) -> str:
    """What a stored time of the reference belongs to, for the same machine: the network and its precision."""
    case = record.case
    return case.model if case.precision == "fp32" else f"{case.model}-{case.precision}"


def _usable(record: CaseRecord) -> bool:
    """Whether a reference says anything of the machine: it was measured, and in a state to measure."""
    return record.open and bool(record.replicates) and not record.invalid
