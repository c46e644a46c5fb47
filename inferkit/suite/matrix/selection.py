"""Narrowing the matrix: which of the declared cases a run is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from inferkit.errors import UsageError
from inferkit.measure.case import Case
from inferkit.suite.matrix.definition import AccuracyCase
from inferkit.suite.matrix.toml_table import nearest

_Any = TypeVar("_Any", Case, AccuracyCase)

# The options that select cases, by the field of Selection: metavar and help. Each may be repeated.
# Which cases are measured in turns with their base: none, those that something speaks for, all.
CONFIRM = ("never", "suspects", "all")
CASE_OPTIONS = {
    "model": ("NAME", "only these networks (repeat it, or separate by commas)"),
    "precision": ("NAME", "only these precisions"),
    "batch_size": ("N", "only these batch sizes"),
    "backend": ("NAME", "only these backends"),
}


@dataclass(frozen=True)
class Selection:
    """The values wanted of each dimension, as text; an empty tuple wants all. FLOAT, HALF and INT8 name precisions."""

    model: tuple[str, ...] = ()
    precision: tuple[str, ...] = ()
    batch_size: tuple[str, ...] = ()
    backend: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", tuple(map(_precision, self.precision)))

    @classmethod
    def from_options(cls, given: Mapping[str, Sequence[str] | None]) -> Selection:
        """From the values of CASE_OPTIONS, None where one was not given; commas and blanks separate words."""
        words = {name: " ".join(given[name] or ()).replace(",", " ").split() for name in CASE_OPTIONS}
        return cls(**{name: tuple(listed) for name, listed in words.items()})

    @property
    def narrows(self) -> bool:
        """Whether anything is left out."""
        return any(getattr(self, field.name) for field in fields(self))

    def wants(self, case: Case | AccuracyCase) -> bool:
        """Whether this case is wanted; an accuracy case has no batch size to be left out by."""
        for field in fields(self):
            wanted = getattr(self, field.name)
            if wanted and hasattr(case, field.name) and str(getattr(case, field.name)) not in wanted:
                return False
        return True

    def of(self, cases: Iterable[_Any]) -> list[_Any]:
        """The wanted ones, in order."""
        return [case for case in cases if self.wants(case)]

    def check(self, cases: Iterable[Case]) -> None:
        """UsageError for a value that no declared case has, or values that no case has together."""
        declared = list(cases)
        for field in fields(self):
            values = list(dict.fromkeys(str(getattr(case, field.name)) for case in declared))
            for value in getattr(self, field.name):
                if value not in values:
                    name = field.name.replace("_", "-")
                    raise UsageError(f"--{name} {value}: no case of the matrix has it{nearest(value, values)}")
        if declared and not self.of(declared):
            wanted = [f"--{f.name.replace('_', '-')} {','.join(getattr(self, f.name))}" for f in fields(self)]
            raise UsageError(f"no case of the matrix has {' '.join(w for w in wanted if not w.endswith(' '))} together")


def _precision(name: str) -> str:
    from inferkit.precision import normalize

    return normalize(name)
