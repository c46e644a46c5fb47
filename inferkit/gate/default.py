"""The rule that judges latencies where none is named: one place to change it."""

from __future__ import annotations

from inferkit.gate.rule import Rule
from inferkit.gate.simple import SimpleRule


def default_rule() -> Rule:
    """The rule of `pytest bench`, `inferkit compare` and `inferkit baseline promote`."""
    return SimpleRule()
