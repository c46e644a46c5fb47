"""The steps of a search for a slower commit: each measures a commit interleaved with GOOD, whose networks are kept."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from inferkit.errors import InferkitError, MeasurementError
from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.bisecting import SEARCH_ALPHA, ClassifyRule, Levels, VerifyRule, share_of
from inferkit.gate.rules.rule import BlockRule
from inferkit.measure.progress import Progress
from inferkit.suite.bisect.checkouts import NotMeasurable, case_of, commit_checkout, skipped, without_folders
from inferkit.suite.bisect.question import Question
from inferkit.suite.bisect.search import Search, Step
from inferkit.suite.bisect.trials import Confirmation
from inferkit.suite.interleaved.run import ABResult, run_ab
from inferkit.suite.interleaved.sides import Bench, Side


class LatencyTrials:
    """Interleaved comparisons of one case with GOOD. Use as a context manager: GOOD is checked out meanwhile.

    `progress` makes the progress of one comparison.
    """

    def __init__(self, repository: Path, question: Question, progress: Callable[[], Progress] = Progress) -> None:
        self._repository = repository
        self._question = question
        self._make_progress = progress
        self._progress = progress()
        self._stack = contextlib.ExitStack()
        self._good: tuple[Side, Bench] | None = None

    def __enter__(self) -> LatencyTrials:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._good = None

    def verify(self, search: Search) -> Search:
        """With BAD measured against GOOD, and where it is slower with what to classify by."""
        test = search.next_test
        rule = VerifyRule(share_of(SEARCH_ALPHA, search.planned, test))
        step, differences = self._against_good(search.bad, rule)
        noise = search.noise.including(differences) if len(differences) else search.noise
        levels = Levels(high=rule.verification.slowdown)
        return replace(search, verification=step, levels=levels, noise=noise, tests=test)

    def test(self, search: Search, commit: str) -> Search:
        """With this commit classified, or skipped with the reason."""
        test = search.next_test
        rule = ClassifyRule(search.levels, search.noise, share_of(SEARCH_ALPHA, search.planned, test))
        step, differences = self._against_good(commit, rule)
        if not len(differences):
            return search.with_step(step)
        return replace(search.with_step(step), noise=search.noise.including(differences), tests=test)

    def confirm(self, commit: str, parent: str) -> Confirmation:
        """The commit against its parent, by the rule of `inferkit ab`."""
        try:
            with self._side("BASE", parent) as base, self._side("HEAD", commit) as head:
                result = self._compare(base, head, commit)
        except NotMeasurable as error:
            return Confirmation(self._skipped(error, f"{parent[:10]} cannot be measured: "))
        return Confirmation(_latency(result), result.layers.get(self._question.case))

    def _against_good(self, commit: str, rule: BlockRule) -> tuple[Step, np.ndarray]:
        """What the rule says of the commit, and the log ratios of its blocks (none where it was not measured)."""
        began = time.monotonic()
        base, bench = self._kept_good()
        try:
            with self._side("HEAD", commit) as head:
                case_of(head, self._question.case)
                result = self._compare(base, head, commit, rule, bench)
        except NotMeasurable as error:
            return Step(commit, self._skipped(error), time.monotonic() - began), np.empty(0)
        outcome = _latency(result)
        if outcome.verdict is Verdict.FAILED:
            outcome = replace(outcome, reason=without_folders(outcome.reason))
        blocks = result.replicates.get(self._question.case, ([], []))
        measured = outcome.verdict in (Verdict.PASS, Verdict.REGRESSED, Verdict.INCONCLUSIVE)
        logs = [[each.log_median for each in side] for side in blocks if measured]
        differences = np.subtract(logs[1], logs[0]) if logs else np.empty(0)
        return Step(commit, outcome, time.monotonic() - began), differences

    def _kept_good(self) -> tuple[Side, Bench]:
        """GOOD, checked out at first use. MeasurementError where it cannot be measured."""
        if self._good is None:
            try:
                side = self._stack.enter_context(self._side("GOOD", self._question.good))
                case_of(side, self._question.case)
            except NotMeasurable as error:
                raise MeasurementError(f"GOOD ({self._question.good[:10]}) cannot be measured: {error}") from error
            # The progress is that of the comparison under way.
            bench = Bench(side, lambda what: self._progress.during(what), self._question.min_time)
            self._stack.callback(bench.close)
            self._good = side, bench
        return self._good

    def _side(self, name: str, commit: str) -> contextlib.AbstractContextManager[Side]:
        question = self._question
        return commit_checkout(name, self._repository, commit, Path(question.matrix), question.extras)

    def _compare(
        self, base: Side, head: Side, commit: str, rule: BlockRule | None = None, bench: Bench | None = None
    ) -> ABResult:
        self._progress = self._make_progress()
        return run_ab(
            base,
            head,
            lambda case: case.id == self._question.case,
            margin=lambda case: self._question.margin,
            min_time=self._question.min_time,
            seed=int(commit[:8], 16),
            progress=self._progress,
            rule=rule,
            base_bench=bench,
        )

    def _skipped(self, error: InferkitError, what: str = "") -> Outcome:
        return skipped(self._question.case, self._question.metric, error, what)


def _latency(result: ABResult) -> Outcome:
    return next(outcome for outcome in result.outcomes if outcome.metric == LATENCY)
