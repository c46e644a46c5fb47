"""The exit codes that a build can act on, each with its meaning: 1 says that something got worse, and nothing else.

pytest's own codes (0 to 5) stand beside these where a suite ends: it takes INVALID and NOTHING from here.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command ends with."""

    OK = 0
    REGRESSED = 1
    ERROR = 2
    DIFFERENT = 3
    INVALID = 10
    UNDECIDED = 11
    NOTHING = 12
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """What help and documentation say of it."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "no regression",
    ExitCode.REGRESSED: "regression",
    ExitCode.ERROR: "usage, or an error",
    ExitCode.DIFFERENT: "different, which is neither better nor worse",
    ExitCode.INVALID: "invalid measurement, FAILED case, or another fingerprint",
    ExitCode.UNDECIDED: "INCONCLUSIVE or MISSING, under --strict",
    ExitCode.NOTHING: "nothing to compare",
    ExitCode.INTERRUPTED: "interrupted",
}
