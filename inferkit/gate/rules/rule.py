"""The seam between measuring and judging: what a rule is given, what it answers, and whether it wants more.

A rule sees the whole suite at once, because error control and shared variances need all cases together. It is asked
again after every round of re-measurement until it wants nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from inferkit.gate.outcome import Outcome


@dataclass(frozen=True)
class CaseLatency:
    """One case: log-medians of the wall time of fresh processes, now and in the baseline, and its margin.

    `baseline` is empty where there is none; `no_baseline` then says why. `invalid` says why the machine was not in a
    state to measure.
    """

    case: str
    now: tuple[float, ...]
    baseline: tuple[float, ...]
    margin: float
    no_baseline: str = ""
    invalid: tuple[str, ...] = ()


class Rule(Protocol):
    """Judges latencies. Pure: the same evidence gives the same outcomes."""

    def judge(self, suite: Sequence[CaseLatency]) -> list[Outcome]:
        """One outcome per case, in the order given."""
        ...

    def more(self, outcomes: Sequence[Outcome], rounds: int) -> Mapping[str, int]:
        """How many further replicates each case needs before its verdict stands, after `rounds` of re-measurement.

        Empty: every verdict stands.
        """
        ...
