"""Which of the figures that were judged of one case is its verdict: for tests, exit codes and reports alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from inferkit.gate.outcome import ACCURACY, FAILING, LATENCY
from inferkit.gate.verdict import Verdict

# What a case is about, the first that there is (a service has both); all else that is judged stands beside it.
MAIN = (LATENCY, ACCURACY)
FAILED = "FAILED"  # what reports say of a test that broke before there was anything to judge


class Judged(Protocol):
    """A figure of a case with its verdict."""

    @property
    def case(self) -> str:
        """The case's id."""

    @property
    def metric(self) -> str:
        """What was judged."""

    @property
    def verdict(self) -> str:
        """A Verdict, or FAILED."""


Figure = TypeVar("Figure", bound=Judged)


def fails(verdict: str) -> bool:
    """Whether it fails a build."""
    return verdict == FAILED or verdict in FAILING


def by_case(figures: Iterable[Figure]) -> Mapping[str, Sequence[Figure]]:
    """Everything that was judged of each case, in the order of the cases."""
    found: dict[str, list[Figure]] = {}
    for figure in figures:
        found.setdefault(figure.case, []).append(figure)
    return found


def main_figure(of_case: Sequence[Figure]) -> Figure:
    """What a case is about: its latency, else its accuracy, else the first that is known."""
    return next((figure for metric in MAIN for figure in of_case if figure.metric == metric), of_case[0])


def deciding(of_case: Sequence[Figure]) -> Figure:
    """The figure whose verdict is the case's: the main one, or the first other that fails, or that is INVALID.

    A main figure that is INVALID stays the verdict: what spoiled it may have spoiled the rest too.
    """
    main = main_figure(of_case)
    if fails(main.verdict) or main.verdict == Verdict.INVALID:
        return main
    serious = [figure for figure in of_case if fails(figure.verdict)]
    serious += [figure for figure in of_case if figure.verdict == Verdict.INVALID]
    return serious[0] if serious else main
