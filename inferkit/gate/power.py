"""What a test of the gate found: false alarms and detections as shares with exact bounds, and what cases can detect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from inferkit.gate.outcome import Outcome

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Share:
    """`hits` of `trials`, with Clopper and Pearson's two-sided bounds at 95 %; (0, 1) without any trial."""

    hits: int
    trials: int
    lower: float
    upper: float

    @classmethod
    def of(cls, hits: int, trials: int) -> Share:
        """ValueError for impossible counts."""
        from scipy.stats import beta

        if not 0 <= hits <= trials:
            raise ValueError(f"impossible: {hits} of {trials}")
        tail = (1 - CONFIDENCE) / 2
        lower = float(beta.ppf(tail, hits, trials - hits + 1)) if hits else 0.0
        upper = float(beta.isf(tail, hits + 1, trials - hits)) if hits < trials else 1.0
        return cls(hits, trials, lower, upper)

    @property
    def text(self) -> str:
        """`19 of 20 (75.1 to 99.9 %)`."""
        return f"{self.hits} of {self.trials} ({100 * self.lower:.1f} to {100 * self.upper:.1f} %)"


@dataclass(frozen=True)
class Detection:
    """How often a real slowdown of one kind and size was found; `seconds` are the times to the verdicts."""

    kind: str
    effect: float
    found: Share
    seconds: tuple[float, ...] = ()


@dataclass(frozen=True)
class CasePower:
    """What one case can detect: the smallest change found with 95 % power, as a share; None where it is not known."""

    case: str
    margin: float
    mde: float | None

    @property
    def can_gate(self) -> bool:
        """Whether a slowdown of the margin's size would be seen."""
        return self.mde is not None and self.mde <= self.margin

    @property
    def line(self) -> str:
        """`lenet… can gate at 25 %: detects 8.1 %`."""
        detects = "how much it detects is not known" if self.mde is None else f"detects {100 * self.mde:.3g} %"
        return f"{self.case} {'can' if self.can_gate else 'cannot'} gate at {100 * self.margin:.3g} %: {detects}"


@dataclass(frozen=True)
class SuiteData:
    """What one suite measured, for other rules to be tried on: log-medians of every replicate by case.

    `kind` and `share` are what was injected into the cases `slowed`; `margins` (shares) are told with a baseline.
    """

    kind: str
    share: float
    slowed: tuple[str, ...]
    log_medians: Mapping[str, tuple[float, ...]]
    margins: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SelfTest:
    """Everything that `inferkit gate selftest` found. `alarms` are the lines of the false alarms."""

    suites: Share
    verdicts: Share
    undecided: int
    alarms: tuple[str, ...]
    detections: tuple[Detection, ...]
    cases: tuple[CasePower, ...]
    suite_seconds: tuple[float, ...]
    baseline: SuiteData
    measured: tuple[SuiteData, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"cases": [{**asdict(case), "can_gate": case.can_gate} for case in self.cases]}


def case_powers(suites: Sequence[Sequence[Outcome]]) -> tuple[CasePower, ...]:
    """Each case's power from its latency outcomes in many suites: the median of its MDEs, unknown if mostly unknown."""
    by_case: dict[str, list[Outcome]] = {}
    for suite in suites:
        for outcome in suite:
            by_case.setdefault(outcome.case, []).append(outcome)
    powers = []
    for case, outcomes in by_case.items():
        margin = next((o.margin for o in outcomes if o.margin is not None), None)
        if margin is not None:
            ordered = sorted(float("inf") if o.mde is None else o.mde for o in outcomes)
            middle = ordered[len(ordered) // 2]
            powers.append(CasePower(case, margin, None if middle == float("inf") else middle))
    return tuple(powers)
