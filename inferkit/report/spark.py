"""A line of values as eight heights of blocks: how a figure went over time, in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
# A series that moves by less is drawn flat: else noise of a thousandth would look like mountains.
_LEAST_RANGE = 0.02


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """The last `width` values, lowest to highest; a dot for one that is not finite. Empty for none."""
    shown = list(values)[-width:]
    known = [value for value in shown if math.isfinite(value)]
    if not known:
        return "·" * len(shown)
    low, high = min(known), max(known)
    middle = (low + high) / 2
    least = _LEAST_RANGE * abs(middle) or 1.0
    # The middle of a flat series lies within a block, not between two.
    span, floor = (high - low, low) if high - low > least else (least, middle - 0.44 * least)
    return "".join(
        BLOCKS[min(int((value - floor) / span * len(BLOCKS)), len(BLOCKS) - 1)] if math.isfinite(value) else "·"
        for value in shown
    )
