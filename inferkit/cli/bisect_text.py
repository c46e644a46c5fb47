"""What `inferkit bisect` prints: a line for each commit that was measured, then the commit that is to blame."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.report.progress import time_left

if TYPE_CHECKING:
    from inferkit.suite.bisect.history import GitHistory
    from inferkit.suite.bisect.question import State
    from inferkit.suite.bisect.run import Answer
    from inferkit.suite.bisect.search import Search

_SAID = {Verdict.PASS: "as good as GOOD", Verdict.REGRESSED: "as bad as BAD", Verdict.INCONCLUSIVE: "undecided"}
_SUBJECT = 40  # characters of a subject in a step's line


class Told:
    """Prints a search as it goes."""

    def __init__(self, state: State, history: GitHistory) -> None:
        self._question, self._search, self._history = state.question, state.search, history

    def begin(self, path: str) -> None:
        """What is searched for, and what is known already."""
        question, search = self._question, self._search
        steps = _count(search.planned, "step")
        print(f"{question.case} {question.metric}: the first worse commit of {search.total}, {steps}")
        for name, commit in (("GOOD", question.good), ("BAD", question.bad)):
            print(f"{name:<4} {self._commit(commit)}")
        if search.verification is not None:
            tested = _count(len(search.steps), "commit")
            print(f"resumed: BAD {_change(search.verification.outcome)}, {tested} tested before")
        else:
            print(f"kept in {path}")

    def step(self, search: Search) -> None:
        """The commit that was measured last: its change from GOOD, what it is, how much is left."""
        if not search.steps:
            assert search.verification is not None
            outcome = search.verification.outcome
            said = "worse than GOOD" if outcome.verdict is Verdict.REGRESSED else "not worse than GOOD by the margin"
            said = "undecided" if outcome.verdict is Verdict.INCONCLUSIVE else said
            print(f"BAD  {_change(outcome)}: {said}", flush=True)
            return
        step = search.steps[-1]
        said = f"skipped: {step.outcome.reason}"
        if step.outcome.verdict in _SAID:
            said = f"{_change(step.outcome)}: {_SAID[step.outcome.verdict]}"
        measured = [each.seconds for each in search.steps if not each.skipped] or [step.seconds]
        left = search.steps_left(self._history)
        time = time_left(sum(measured), len(measured), len(measured) + left)
        suspects = len(search.suspects(self._history))
        rest = f"{suspects} suspects, {_count(left, 'step')} left" if left else "1 suspect left"
        print(f"{self._commit(step.commit)}  {said}; {rest}{time and f', {time}'}", flush=True)

    def end(self, answer: Answer) -> None:
        """The answer, with what it rests on and how to see it again."""
        search = answer.search
        if answer.stopped is not None:
            print(f"\nstopped: {answer.stopped.line}")
        elif not answer.suspects:
            assert search.verification is not None
            print(f"\n{search.verification.outcome.line}")
        elif answer.found is None:
            print(f"\nthe first bad commit is one of {len(answer.suspects)}; those skipped tell nothing:")
            reasons = {step.commit: step.outcome.reason for step in search.steps if step.skipped}
            for commit in answer.suspects:
                print(f"  {self._commit(commit)}  {reasons.get(commit, 'as bad as BAD')}")
        else:
            self._found(answer)
        if answer.may_go_on and search.verification is not None:
            print("on a quieter machine, go on with: inferkit bisect --resume")

    def _found(self, answer: Answer) -> None:
        assert answer.found is not None
        assert answer.search.verification is not None
        facts = self._history.facts(answer.found)
        print(f"\nthe first bad commit:\ncommit {facts.commit}\nauthor date {facts.date}\n    {facts.subject}\n")
        parent = facts.parents[0]
        confirmation = answer.confirmation
        if confirmation is not None:
            outcome = confirmation.outcome
            whole = answer.search.verification.outcome
            if outcome.change is not None and whole.change is not None:
                print(f"{_change(outcome)} against its parent, of {whole.shown_change(whole.change)} from GOOD to BAD")
            if outcome.verdict is not Verdict.REGRESSED:
                print(f"against its parent alone it is {outcome.verdict}: {outcome.reason or 'below the margin'}")
            elif outcome.reason:
                print(outcome.reason)
            if _leaves_some(outcome, whole):
                print("the range holds more than this commit: --all goes on in the rest")
        print(f"to see it again: {self._command(parent, facts.commit)}")

    def _command(self, parent: str, commit: str) -> str:
        question = self._question
        if question.metric != LATENCY:
            return shlex.join(["git", "show", commit[:10]])
        words = ["inferkit", "ab", parent[:10], commit[:10], *question.selects]
        return shlex.join([*words, "--margin", f"{question.margin:g}", "--matrix", question.matrix])

    def _commit(self, commit: str) -> str:
        facts = self._history.facts(commit)
        subject = facts.subject if len(facts.subject) <= _SUBJECT else f"{facts.subject[: _SUBJECT - 1]}…"
        return f"{facts.short} {subject}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _change(outcome: Outcome) -> str:
    """`+3.1% (between +2.6% and +3.7%, 12 blocks)`."""
    if outcome.change is None:
        return str(outcome.verdict)
    text = outcome.shown_change(outcome.change)
    if outcome.lower is None or outcome.upper is None:
        return text
    bounds = f"between {outcome.shown_change(outcome.lower)} and {outcome.shown_change(outcome.upper)}"
    return f"{text} ({bounds}, {outcome.head_replicates} blocks)"


def _leaves_some(outcome: Outcome, whole: Outcome) -> bool:
    """Whether a change as large as the margin is left when this one is taken from the whole."""
    known = outcome.upper is not None and whole.lower is not None and whole.margin is not None
    return known and (1 + whole.lower) / (1 + outcome.upper) - 1 > whole.margin / 2  # type: ignore[operator]
