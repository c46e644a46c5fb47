"""The verdicts: what the gate can say of a case."""

from __future__ import annotations

from enum import StrEnum


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
