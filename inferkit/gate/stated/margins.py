"""A margin as people state it (`5 %`, `0.5 points`, `10 MiB`, `30 s`, a plain number), and what it allows of a base."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from inferkit.gate.metrics import ACCURACY, LATENCY, METRICS, Metric, Test, of_replicates
from inferkit.gate.units import Unit

MOST = 10.0  # ten times as slow: what is above is a typing error
_SYNONYMS = {"accuracy": ACCURACY}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([^\d\s.]*)\s*")
_POINTS = ("points", "point")
_EXAMPLES = {Unit.BYTES: "10 MiB", Unit.SECONDS: "500 ms", Unit.PERCENT: "2 points"}
_AMOUNTS: Mapping[str, tuple[float, Unit]] = {
    "B": (1.0, Unit.BYTES),
    "kB": (1e3, Unit.BYTES),
    "MB": (1e6, Unit.BYTES),
    "GB": (1e9, Unit.BYTES),
    "KiB": (1024.0, Unit.BYTES),
    "MiB": (1024.0**2, Unit.BYTES),
    "GiB": (1024.0**3, Unit.BYTES),
    "ns": (1e-9, Unit.SECONDS),
    "us": (1e-6, Unit.SECONDS),
    "µs": (1e-6, Unit.SECONDS),
    "ms": (1e-3, Unit.SECONDS),
    "s": (1.0, Unit.SECONDS),
    **dict.fromkeys(_POINTS, (1.0, Unit.PERCENT)),
}


@dataclass(frozen=True)
class Margin:
    """How much worse a metric may get. `amount` is a share (0.05: 5 %) where `unit` is None, else in that unit.

    Of an accuracy it is percentage points (Unit.PERCENT). `text` is how it was stated.
    """

    amount: float
    unit: Unit | None = None
    text: str = ""

    @property
    def is_share(self) -> bool:
        """Whether it is a share of base, whatever base is."""
        return self.unit is None

    def share_of(self, base: float) -> float:
        """The margin as a share of `base`, a value in the metric's unit; infinite where base is 0."""
        if self.unit is None:
            return self.amount
        return self.amount / base if base > 0 else math.inf

    def written(self) -> str | float:
        """As a file keeps it: what `parse_margin` reads."""
        return self.text or self.amount


# Margins by metric name; of metrics that it does not name the defaults of metrics.py hold.
Margins = Mapping[str, Margin]


def metric_names() -> tuple[str, ...]:
    """The metrics that have a margin."""
    return (*(metric.name for metric in of_replicates()), ACCURACY)


def canonical(name: str) -> str:
    """The name of a metric as the table has it: `accuracy` is top-1."""
    return _SYNONYMS.get(name, name)


def metric_of(name: str) -> Metric | None:
    """The metric with a margin that goes by this name, None where none does."""
    name = canonical(name)
    return METRICS[name] if name in metric_names() else None


def parse_margin(value: object, metric: Metric) -> Margin:
    """The margin of a metric from a number (a share; of an accuracy points) or a text with a unit.

    ValueError, with what may be written, for anything else.
    """
    forms = _forms(metric)
    if isinstance(value, str):
        match = _AMOUNT.fullmatch(value)
        if match is None:
            raise ValueError(f"a margin of {metric.name} is {forms}, not {value!r}")
        amount, unit = float(match[1]), match[2]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            amount, unit = float(value), ""
        except OverflowError:  # an integer of hundreds of digits
            amount, unit = math.inf, ""
    else:
        raise ValueError(f"a margin of {metric.name} is {forms}, not {value!r}")
    text = value if isinstance(value, str) else ""
    if metric.test is Test.PAIRED:
        margin = Margin(amount, Unit.PERCENT, text) if unit in ("", *_POINTS) else None
        most = 100.0
    elif unit in ("", "%"):
        margin, most = Margin(amount / 100 if unit else amount, None, text), MOST
    else:
        factor, of_unit = _AMOUNTS.get(unit, (0.0, None))
        suits = of_unit is metric.unit and metric.name != LATENCY
        margin, most = (Margin(amount * factor, of_unit, text), sys.float_info.max) if suits else (None, 0.0)
    # Growth of nothing at all can be asked for where it is counted and not measured.
    if margin is None or not (0 < margin.amount <= most or (margin.amount == 0 and metric.of_engine)):
        raise ValueError(f"a margin of {metric.name} is {forms}, not {value!r}")
    return margin


def _forms(metric: Metric) -> str:
    """What may be written of this metric."""
    if metric.test is Test.PAIRED:
        return "points above 0 and at most 100, such as 0.5 or '0.5 points'"
    share = f"a share {'from' if metric.of_engine else 'above'} 0 to {MOST:.0f}, such as 0.05 or '5 %'"
    if metric.name == LATENCY:
        return share
    return f"{share}, or an amount such as {_EXAMPLES.get(metric.unit, '500 ms')!r}"
