"""What a rule is given, what it answers, and whether it wants more replicates.

A rule judges the latencies of a whole suite at once, because error control and shared variances need all cases
together. It carries the error budget: the false-alarm rate of the suite, and the interim analyses that share it. It is
asked again after every round of re-measurement until it wants nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from inferkit.gate.outcome import Outcome

if TYPE_CHECKING:
    from inferkit.gate.stats.analyses import AnalysisPlan
    from inferkit.gate.stats.effect import Evidence


@dataclass(frozen=True)
class LogSamples:
    """One case: logarithms of a metric, one value for each replicate of base and of head, and its margin (a share).

    Larger is worse. `base` is empty where there is none; `no_baseline` then says why. `invalid` says why the machine
    was not in a state to measure.
    """

    case: str
    base: tuple[float, ...]
    head: tuple[float, ...]
    margin: float
    no_baseline: str = ""
    invalid: tuple[str, ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether there is something to judge."""
        return bool(self.base and self.head and not self.invalid)


class Rule(Protocol):
    """Judges logarithms of a metric over a suite."""

    def judge(self, suite: Sequence[LogSamples]) -> list[Outcome]:
        """One outcome per case, in the order given, with the latency as its metric."""
        ...

    def more(self, outcomes: Sequence[Outcome]) -> Mapping[str, int]:
        """How many further replicates each case needs before its verdict stands. Empty: every verdict stands."""
        ...

    def evidence(self, samples: LogSamples) -> Evidence:
        """The change of a case as this rule sees it. ValueError without a replicate of base or head."""
        ...


class BlockRule(Rule, Protocol):
    """A rule for interleaved blocks: base and head have one value for each block."""

    @property
    def plan(self) -> AnalysisPlan:
        """The counts of blocks at which it judges."""
        ...
