"""Cases that cannot run here: one line for all that have the same reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def unsupported_lines(told: Iterable[tuple[str, str, str]]) -> list[str]:
    """The lines for (case, reason, way out)."""
    groups: dict[tuple[str, str], list[str]] = {}
    for case, reason, way_out in told:
        groups.setdefault((reason, way_out), []).append(case)
    return [
        f"UNSUPPORTED {which_cases(cases)}: {reason}" + (f"; {way_out}" if way_out else "")
        for (reason, way_out), cases in groups.items()
    ]


def which_cases(cases: Sequence[str]) -> str:
    """One case by its name, several by their number and the first and last of them."""
    return cases[0] if len(cases) == 1 else f"{len(cases)} cases ({cases[0]} to {cases[-1]})"
