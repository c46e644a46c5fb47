"""The values of options: counts, times and tolerances; one that does not fit is a usage error that says what does."""

from __future__ import annotations

import argparse
import re

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0, "min": 60.0}


def at_least_one(text: str) -> int:
    """A count."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def duration(text: str) -> float:
    """Seconds above 0 from `15ms`, `500us`, `10s`, `2min` or a bare number of seconds."""
    value = delay(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be longer than 0")
    return value


def delay(text: str) -> float:
    """As `duration`; 0 too."""
    matched = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(us|ms|s|min|)\s*", text)
    if matched is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; write 15ms, 500us, 10s or 2min")
    return float(matched[1]) * _UNITS[matched[2]]


def tolerance(text: str) -> float:
    """Percentage points of top-1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of percentage points above 0 and at most 100")
    return value
