"""What the gate says of one case: the verdict and the one line that says it all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar


class Verdict(StrEnum):
    """One word per outcome. Only REGRESSED says that the engine got worse; nothing passes silently."""

    PASS = "PASS"
    REGRESSED = "REGRESSED"
    IMPROVED = "IMPROVED"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"
    NO_BASELINE = "NO_BASELINE"
    MISSING = "MISSING"
    UNSUPPORTED = "UNSUPPORTED"


LATENCY = "latency"
ACCURACY = "top-1"
TOP5 = "top-5"
P99 = "p99"
EXECUTION = "execution"  # on the device, by its own clock: the wall time without copies and the host
BUILD_TIME = "build time"
COLD_START = "cold start"
HOST_MEMORY = "host memory"
DEVICE_MEMORY = "device memory"
ENGINE_SIZE = "engine size"
# Times beside the latency: what spoils or slows the machine makes these longer too.
SIDE_TIMES = (EXECUTION, P99, BUILD_TIME, COLD_START)
REFERENCE = "reference"  # the latency of the reference network
_BYTES = (HOST_MEMORY, DEVICE_MEMORY, ENGINE_SIZE)

_RENAMED = {"way_out": "hint"}  # in files of schema 1

# What fails a build. INVALID has an exit code of its own; the others are neutral but always shown.
FAILING = frozenset({Verdict.REGRESSED, Verdict.MISSING})


@dataclass(frozen=True)
class Outcome:
    """A verdict on one metric of one case, with what it rests on. None where something is not known.

    A `change` above 0 is worse. Latencies are seconds, their changes, bounds, `margin` and `mde` shares (0.05: 5 %
    slower); bytes likewise. Accuracies are percent, their changes, bounds and `margin` percentage points lost (0.5:
    half a point). `machine` is by how much the reference network moved, where INVALID means that the machine did: the
    measurement is sound, but not comparable.
    """

    case: str
    metric: str
    verdict: Verdict
    baseline: float | None = None
    now: float | None = None
    change: float | None = None
    lower: float | None = None
    upper: float | None = None
    margin: float | None = None
    replicates: int = 0
    baseline_replicates: int = 0
    mde: float | None = None
    reason: str = ""
    hint: str = ""
    machine: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """The inverse of `as_dict`."""
        renamed = {_RENAMED.get(name, name): value for name, value in values.items()}
        return cls(**{**renamed, "verdict": Verdict(values["verdict"])})

    @property
    def line(self) -> str:
        """One line: case, verdict, baseline, now, change with bounds, margin, replicates, reason, hint."""
        said = [f"{self.case} {self.metric}: {self.verdict}"]
        if self.now is not None:
            said.append(self._figures())
        if self.reason:
            said.append(self.reason)
        text = ": ".join(said[:2]) + "".join(f"; {more}" for more in said[2:])
        return f"{text}; {self.hint}" if self.hint else text

    def _figures(self) -> str:
        show = shower(self.metric)
        assert self.now is not None
        if self.baseline is None or self.change is None:
            text = show(self.now)
        else:
            text = f"{show(self.baseline)} -> {show(self.now)}, {self.shown_change(self.change)}"
        if self.lower is not None and self.upper is not None:
            text += f" (between {self.shown_change(self.lower)} and {self.shown_change(self.upper)})"
        elif self.upper is not None:
            text += f" (at worst {self.shown_change(self.upper)})"
        if self.margin is not None:
            text += f", {'tolerance' if self.metric == ACCURACY else 'margin'} {self.shown_amount(self.margin)}"
        if self.mde is not None:
            text += f", detectable {self.shown_amount(self.mde)}"
        if self.replicates:
            against = f" against {self.baseline_replicates}" if self.baseline_replicates else ""
            text += f", replicates {self.replicates}{against}"
        return text

    def shown_change(self, value: float) -> str:
        """A change of this metric in words: `+3.1%` slower, or `-0.12 points`."""
        return f"{round(-value, 2) + 0.0:+.2f} points" if self.metric == ACCURACY else f"{value:+.1%}"

    def shown_amount(self, value: float) -> str:
        """A margin of this metric in words: `25 %`, `0.5 points`."""
        return f"{value:g} points" if self.metric == ACCURACY else f"{100 * value:.3g} %"


def shower(metric: str) -> Callable[[float], str]:
    """What shows a value of this metric."""
    if metric in (ACCURACY, TOP5):
        return percent
    return size if metric in _BYTES else seconds


def size(value: float) -> str:
    """Bytes with a unit that suits them: `12.35 MB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{value / scale:.4g} {unit}"
    return f"{value:.0f} B"


def seconds(value: float) -> str:
    """A time with a unit that suits it and four significant digits: `512.3 µs`."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{value / scale:.4g} {unit}"
    return f"{value * 1e9:.4g} ns"


def percent(value: float) -> str:
    """A share that is in percent already: `91.03 %`."""
    return f"{value:.2f} %"


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
