"""What the gate says of one metric of one case: the verdict, the figures it rests on, and the line that says it all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from inferkit.gate.metrics import MAIN, Test, named, shower


class Verdict(StrEnum):
    """One word per outcome. Only REGRESSED says that the engine got worse; nothing passes silently.

    SUSPECT: worse than the stored baseline, and base could not be measured again to tell the machine from the software.
    SCREENED: compared with the nearest baseline, which is of another driver, library or CPU. WAIVED: it would fail, and
    somebody answers for it until a date. FAILED: it could not be measured, or does not do what was asked for.
    """

    PASS = "PASS"
    REGRESSED = "REGRESSED"
    SUSPECT = "SUSPECT"
    IMPROVED = "IMPROVED"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"
    NO_BASELINE = "NO_BASELINE"
    MISSING = "MISSING"
    UNSUPPORTED = "UNSUPPORTED"
    FAILED = "FAILED"
    SCREENED = "SCREENED"
    WAIVED = "WAIVED"


# What fails a build. INVALID has an exit code of its own; the others are neutral but always shown.
FAILING = frozenset({Verdict.REGRESSED, Verdict.SUSPECT, Verdict.MISSING, Verdict.FAILED})

# How files of schema 1 call these fields.
_FORMER = {"baseline": "base", "now": "head", "way_out": "hint", "replicates": "head_replicates",
           "baseline_replicates": "base_replicates"}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """A verdict on one metric of one case, with what it rests on. None where something is not known.

    `base` and `head` are the metric's values. A `change` above 0 is worse. Latencies are seconds, their changes,
    bounds, `margin` and `mde` (the smallest detectable change) shares (0.05: 5 % slower); bytes likewise. Accuracies
    are percent, their changes, bounds and `margin` percentage points lost (0.5: half a point). `machine` is by how much
    the reference network moved, where INCONCLUSIVE means that the machine may have done all of it (INVALID in older
    files).
    """

    case: str
    metric: str
    verdict: Verdict
    base: float | None = None
    head: float | None = None
    change: float | None = None
    lower: float | None = None
    upper: float | None = None
    margin: float | None = None
    head_replicates: int = 0
    base_replicates: int = 0
    mde: float | None = None
    reason: str = ""
    hint: str = ""
    machine: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """The inverse of `as_dict`, also of files of schema 1."""
        renamed = {_FORMER.get(name, name): value for name, value in values.items()}
        return cls(**{**renamed, "verdict": Verdict(values["verdict"])})

    @property
    def says_nothing(self) -> bool:
        """Whether the measurement is worth nothing: INVALID, or INCONCLUSIVE as the machine may have done all of it."""
        moved = self.verdict is Verdict.INCONCLUSIVE and self.machine is not None
        return self.verdict is Verdict.INVALID or moved

    @property
    def is_unmeasured(self) -> bool:
        """Whether the case could not be measured; what FAILED with a value was measured, and is not what was asked."""
        return self.verdict is Verdict.FAILED and self.head is None

    @property
    def line(self) -> str:
        """One line: case, verdict, base, head, change with bounds, margin, replicates, reason, hint."""
        parts = [f"{self.case} {self.metric}: {self.verdict}"]
        if self.head is not None:
            parts.append(self._figures())
        if self.reason:
            parts.append(self.reason)
        text = ": ".join(parts[:2]) + "".join(f"; {more}" for more in parts[2:])
        return f"{text}; {self.hint}" if self.hint else text

    def _figures(self) -> str:
        show = shower(self.metric)
        assert self.head is not None
        if self.base is None or self.change is None:
            text = show(self.head)
        else:
            text = f"{show(self.base)} -> {show(self.head)}, {self.shown_change(self.change)}"
        if self.lower is not None and self.upper is not None:
            text += f" (between {self.shown_change(self.lower)} and {self.shown_change(self.upper)})"
        elif self.upper is not None:
            text += f" ({self.shown_upper(self.upper)})"
        if self.margin is not None:
            text += f", {'tolerance' if self._in_points else 'margin'} {self.shown_amount(self.margin)}"
        if self.mde is not None:
            text += f", detectable {self.shown_amount(self.mde)}"
        if self.head_replicates:
            against = f" against {self.base_replicates}" if self.base_replicates else ""
            text += f", replicates {self.head_replicates}{against}"
        return text

    @property
    def _in_points(self) -> bool:
        metric = named(self.metric)
        return metric is not None and metric.test is Test.PAIRED

    def shown_change(self, value: float) -> str:
        """A change of this metric in words: `+3.1%` slower, or `-0.12 points`; what is better when higher falls."""
        if self._in_points:
            return f"{round(-value, 2) + 0.0:+.2f} points"
        metric = named(self.metric)
        if metric is not None and metric.higher_is_better and value > -1:
            value = 1 / (1 + value) - 1
        return f"{value:+.1%}"

    def shown_upper(self, value: float) -> str:
        """The upper bound of a change for the worse in words: what may be lost, `upper bound of loss 0.29 points`."""
        if self._in_points:
            return f"upper bound of loss {round(value, 2) + 0.0:.2f} points"
        return f"upper bound {self.shown_change(value)}"

    def shown_amount(self, value: float) -> str:
        """A margin of this metric in words: `25 %`, `0.5 points`."""
        if self._in_points:
            return f"{value:g} points"
        return f"{100 * value:.3g} %" if value < 10 else f"{100 * value:,.0f} %"


def failed(case: str, metric: str, reason: str) -> Outcome:
    """The outcome of a case that could not be measured; a reason that begins with the case's id need not repeat it."""
    reason = reason.removeprefix(f"{case}: ") or "it could not be measured"
    return Outcome(case, metric, Verdict.FAILED, reason=reason)


def verdict_beyond(change: float, margin: float) -> Verdict:
    """REGRESSED or IMPROVED where an exactly known change exceeds its margin, PASS within it."""
    return Verdict.REGRESSED if change > margin else Verdict.IMPROVED if change < -margin else Verdict.PASS


class Judged(Protocol):
    """A figure of a case with its verdict: what is asked of it here."""

    @property
    def case(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def verdict(self) -> str: ...


Figure = TypeVar("Figure", bound=Judged)


def by_case(figures: Iterable[Figure]) -> Mapping[str, Sequence[Figure]]:
    """Everything that was judged of each case, in the order of the cases."""
    groups: dict[str, list[Figure]] = {}
    for figure in figures:
        groups.setdefault(figure.case, []).append(figure)
    return groups


def main_figure(of_case: Sequence[Figure]) -> Figure:
    """What a case is about: its latency, else its accuracy, else the first that is known."""
    return next((figure for metric in MAIN for figure in of_case if figure.metric == metric), of_case[0])


def deciding(of_case: Sequence[Figure]) -> Figure:
    """The figure whose verdict is the case's: the main one, or the first other that fails, or that is INVALID.

    A main figure that is INVALID stays the verdict, since what spoiled it may have spoiled the rest too: but not an
    accuracy or what a build fixes, which no state of the machine changes.
    A waived figure is the verdict of a case that passes otherwise.
    """
    main = main_figure(of_case)
    if main.verdict in FAILING:
        return main
    serious = [figure for figure in of_case if figure.verdict in FAILING]
    if main.verdict == Verdict.INVALID:
        return next((figure for figure in serious if _is_sound(figure.metric)), main)
    serious += [figure for figure in of_case if figure.verdict == Verdict.INVALID]
    if main.verdict in (Verdict.PASS, Verdict.IMPROVED):
        serious += [figure for figure in of_case if figure.verdict == Verdict.WAIVED]
    return serious[0] if serious else main


def _is_sound(name: str) -> bool:
    """Whether no state of the machine changes this metric: what a build fixes, and answers."""
    metric = named(name)
    return metric is not None and metric.test in (Test.EXACT, Test.PAIRED)
