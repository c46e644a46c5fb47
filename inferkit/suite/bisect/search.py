"""A search as it stands: what was found out of which commits, which is to be measured next, and which may be the one.

Pure: what lies between the commits is told by a History. As git does it, a commit as fast as GOOD clears all its
ancestors, one as slow as BAD all that are not its ancestors, and one that cannot be measured clears nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.bisecting import Levels, Noise, steps_of

# Undecided commits after which a search stops: more would be, for the machine is too noisy for a change of this size.
_MOST_UNDECIDED = 3


class History(Protocol):
    """Commits and their order."""

    def between(self, good: Sequence[str], bad: str) -> Sequence[str]:
        """The commits that `bad` has and none of `good`, `bad` too: first those that divide the others best."""
        ...


@dataclass(frozen=True)
class Step:
    """One commit and what was said of it: PASS (as good as GOOD), REGRESSED (as bad as BAD), or why it was skipped."""

    commit: str
    outcome: Outcome
    seconds: float = 0.0

    @property
    def skipped(self) -> bool:
        """Whether nothing follows from it."""
        return self.outcome.verdict not in (Verdict.PASS, Verdict.REGRESSED)


@dataclass(frozen=True)
class Search:
    """Everything a search needs to go on. `total` are the commits after GOOD up to BAD, both ids are full.

    `verification` is BAD against GOOD, None before it was measured. `levels` are what to classify by,
    `noise` is of all blocks so far. `tests` were begun, the verification
    not counted.
    """

    good: str
    bad: str
    total: int
    verification: Step | None = None
    levels: Levels = field(default_factory=Levels)
    noise: Noise = field(default_factory=Noise)
    steps: tuple[Step, ...] = ()
    tests: int = 0

    @property
    def planned(self) -> int:
        """How many classifications find it where none is skipped."""
        return steps_of(self.total)

    @property
    def good_commits(self) -> tuple[str, ...]:
        """GOOD, and what is as good."""
        return (self.good, *(step.commit for step in self.steps if step.outcome.verdict is Verdict.PASS))

    @property
    def bad_commit(self) -> str:
        """The earliest that is as bad as BAD."""
        bad = [step.commit for step in self.steps if step.outcome.verdict is Verdict.REGRESSED]
        return bad[-1] if bad else self.bad

    def with_step(self, step: Step) -> Search:
        """With one more commit measured, or skipped."""
        return replace(self, steps=(*self.steps, step), levels=self.levels.after(step.outcome))

    def suspects(self, history: History) -> Sequence[str]:
        """The commits one of which is the first bad one, the surely bad one last; one: it is found."""
        bad = self.bad_commit
        return [*(commit for commit in history.between(self.good_commits, bad) if commit != bad), bad]

    def following(self, history: History) -> str | None:
        """The commit to measure next; None where nothing is left that could tell.

        That which divides the suspects best; after skipped ones in a row one further and further from them, since
        what does not build seldom does so alone. None too after three that stayed undecided.
        """
        if sum(step.outcome.verdict is Verdict.INCONCLUSIVE for step in self.steps) >= _MOST_UNDECIDED:
            return None
        skipped = {step.commit for step in self.steps if step.skipped}
        left = [commit for commit in self.suspects(history)[:-1] if commit not in skipped]
        if not left:
            return None
        row = next((n for n, step in enumerate(reversed(self.steps)) if not step.skipped), len(self.steps))
        return left[min(row * (row - 1) // 2, len(left) - 1)]

    def steps_left(self, history: History) -> int:
        """How many classifications are left, at most, where none is skipped."""
        return steps_of(len(self.suspects(history)))

    @property
    def next_test(self) -> int:
        """The number of the next test, which says its share of the error; a second verification has its own."""
        if self.verification is None:
            return 0
        if self.verification.outcome.verdict is Verdict.INCONCLUSIVE:
            return max(self.tests, self.planned) + 1
        return self.tests + 1

    def resumed(self) -> Search:
        """Without the commits that stayed undecided: the machine may be quieter now."""
        return replace(self, steps=tuple(s for s in self.steps if s.outcome.verdict is not Verdict.INCONCLUSIVE))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
