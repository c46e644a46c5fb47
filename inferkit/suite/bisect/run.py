"""The search from its beginning, or from where it was, to its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from inferkit.gate.outcome import Outcome, Verdict
from inferkit.suite.bisect.search import History, Search
from inferkit.suite.bisect.trials import Confirmation, Trials


@dataclass(frozen=True)
class Answer:
    """How a search ended. `suspects`: one of them is the first bad commit; one alone is found, none: BAD is not worse.

    `stopped` is the outcome at which it could not go on: the machine was disturbed, or BAD could not be measured.
    """

    search: Search
    suspects: Sequence[str] = ()
    stopped: Outcome | None = None
    confirmation: Confirmation | None = None

    @property
    def found(self) -> str | None:
        """The first bad commit, where it is known."""
        return self.suspects[-1] if len(self.suspects) == 1 else None

    @property
    def may_go_on(self) -> bool:
        """Whether the same search may say more on a quieter machine."""
        measured = [self.search.verification, *self.search.steps]
        undecided = any(step is not None and step.outcome.verdict is Verdict.INCONCLUSIVE for step in measured)
        return self.stopped is not None or (self.found is None and undecided)


def run_search(
    search: Search,
    history: History,
    trials: Trials,
    parent_of: Callable[[str], str],
    on_step: Callable[[Search], None] = lambda search: None,
) -> Answer:
    """Verify, then classify until one commit is left or nothing tells more, then confirm it against its parent.

    `on_step` is given the search after each commit, to keep and to show it. An INVALID outcome ends it: what disturbs
    the machine will disturb the next commit too, and the search can be resumed.
    """
    if search.verification is None or search.verification.outcome.verdict is Verdict.INCONCLUSIVE:
        verified = trials.verify(search)
        assert verified.verification is not None
        outcome = verified.verification.outcome
        if outcome.verdict not in (Verdict.PASS, Verdict.REGRESSED, Verdict.INCONCLUSIVE):
            return Answer(search, stopped=outcome)
        search = verified
        on_step(search)
    assert search.verification is not None
    if search.verification.outcome.verdict is not Verdict.REGRESSED:
        return Answer(search)
    while (commit := search.following(history)) is not None:
        tested = trials.test(search, commit)
        outcome = tested.steps[-1].outcome
        if outcome.verdict is Verdict.INVALID:
            return Answer(search, search.suspects(history), stopped=outcome)
        search = tested
        on_step(search)
    answer = Answer(search, search.suspects(history))
    if answer.found is None:
        return answer
    return replace(answer, confirmation=trials.confirm(answer.found, parent_of(answer.found)))
