"""Cases without a baseline of their own machine, compared with the nearest one: a screen, which convicts nobody.

Another driver, library or CPU is another machine to the gate: what changed since may be that, or the commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.run import Run

# The parts of a machine that are exchanged while it stays the same one: others leave nothing to compare.
EXCHANGED = frozenset({"driver", "cuda", "version", "python", "cpu", "cpus", "threads", "power_limit_watts", "ecc"})
_JUDGED = (Verdict.PASS, Verdict.REGRESSED, Verdict.IMPROVED, Verdict.INCONCLUSIVE)


@dataclass(frozen=True)
class Screen:
    """The nearest baseline of a machine without one: its file's name, its content, and (bucket, base, head) of what
    differs."""

    file: str
    baseline: Run
    differences: tuple[tuple[str, str, str], ...]

    @property
    def line(self) -> str:
        """`the nearest baseline, FILE, is of driver 580.1; this machine has driver 590.2`."""
        base, head = (", ".join(f"{part[0]} {part[side]}" for part in self.differences) for side in (1, 2))
        return f"the nearest baseline, {self.file}, is of {base}; this machine has {head}"


def is_near(base: Fingerprint, head: Fingerprint) -> bool:
    """Whether a baseline of `base` says anything of the machine `head`."""
    own, other = base.as_dict(), head.as_dict()
    flavours = [str(each.get("version", "")).rpartition(" ")[0] for each in (own, other)]
    names = {name for name, _, _ in base.changes(head)}
    return names <= EXCHANGED and flavours[0] == flavours[1]


def screened(outcomes: Sequence[Outcome], screens: Mapping[str, Screen]) -> tuple[Outcome, ...]:
    """The outcomes, those of the cases in `screens` as SCREENED: with the figures, and what differs."""

    def of(outcome: Outcome) -> Outcome:
        screen = screens.get(outcome.case)
        if screen is None or outcome.verdict not in _JUDGED:
            return outcome
        beyond = "worse than that by more than the margin" if outcome.verdict is Verdict.REGRESSED else ""
        reason = "; ".join(filter(None, (screen.line, beyond, outcome.reason)))
        hint = "promote a run of this machine: inferkit baseline promote RUN.json --from " + screen.file
        return replace(outcome, verdict=Verdict.SCREENED, reason=reason, hint=hint)

    return tuple(map(of, outcomes))
