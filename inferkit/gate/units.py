"""The units of figures, and how a value of each is written: `512.3 µs`, `12.35 MB`, `91.03 %`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Unit(StrEnum):
    """What the values of a metric are in."""

    SECONDS = "s"
    BYTES = "B"
    PERCENT = "%"
    COUNT = "1"  # a plain number, or a rate such as tokens/s

    @property
    def show(self) -> Callable[[float], str]:
        """What writes a value of this unit."""
        return {Unit.SECONDS: seconds, Unit.BYTES: size, Unit.PERCENT: percent, Unit.COUNT: plain}[self]


def size(value: float) -> str:
    """Bytes with a suitable unit: `12.35 MB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{value / scale:.4g} {unit}"
    return f"{value:.0f} B"


def seconds(value: float) -> str:
    """A time with a suitable unit and four significant digits: `512.3 µs`."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{value / scale:.4g} {unit}"
    return f"{value * 1e9:.4g} ns"


def percent(value: float) -> str:
    """A share that is in percent already: `91.03 %`."""
    return f"{value:.2f} %"


def plain(value: float) -> str:
    """A number without a unit, five significant digits."""
    return f"{value:.5g}"
