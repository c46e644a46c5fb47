"""The steps of a search by a metric without noise (a size, an accuracy): one value of each commit, none interleaved."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from inferkit.errors import InferkitError, MeasurementError
from inferkit.gate.metrics import ACCURACY, METRICS, data_of
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.bisecting import Levels
from inferkit.measure.progress import Progress
from inferkit.suite.bisect.checkouts import NotMeasurable, case_of, commit_checkout, skipped
from inferkit.suite.bisect.question import Question
from inferkit.suite.bisect.search import Search, Step
from inferkit.suite.bisect.trials import Confirmation
from inferkit.suite.campaign.artifacts import Artifacts
from inferkit.suite.campaign.evaluations import Evaluations
from inferkit.suite.interleaved.sides import Bench, Side
from inferkit.suite.matrix.definition import AccuracyCase

_SHORT = 0.01  # seconds: no time is asked for


class ExactTrials:
    """Values of one case at every commit: one is as bad as BAD where it is nearer to BAD's value than to GOOD's."""

    def __init__(self, repository: Path, question: Question, progress: Callable[[], Progress] = Progress) -> None:
        self._repository, self._question, self._make_progress = repository, question, progress
        self._good: float | None = None

    def __enter__(self) -> ExactTrials:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def verify(self, search: Search) -> Search:
        """With BAD's change from GOOD."""
        began = time.monotonic()
        outcome = self._outcome(self._value_of_good(), search.bad, self._question.margin)
        step = Step(search.bad, outcome, time.monotonic() - began)
        return replace(search, verification=step, levels=Levels(high=outcome.change or 0.0))

    def test(self, search: Search, commit: str) -> Search:
        """With this commit's change from GOOD, or the reason why it is skipped."""
        began = time.monotonic()
        outcome = self._outcome(self._value_of_good(), commit, search.levels.high / 2)
        return replace(search.with_step(Step(commit, outcome, time.monotonic() - began)), tests=search.tests + 1)

    def confirm(self, commit: str, parent: str) -> Confirmation:
        """The commit's change from its parent."""
        try:
            base = self._value(parent)
        except InferkitError as error:
            return Confirmation(self._skipped(error, f"{parent[:10]} cannot be measured: "))
        return Confirmation(self._outcome(base, commit, self._question.margin))

    def _outcome(self, base: float, commit: str, most: float) -> Outcome:
        """REGRESSED where the change from `base` is more than `most`; FAILED where the commit has no value."""
        question = self._question
        try:
            head = self._value(commit)
        except InferkitError as error:
            return self._skipped(error)
        change = base - head if question.metric == ACCURACY else head / base - 1
        verdict = Verdict.REGRESSED if change > most else Verdict.PASS
        return Outcome(question.case, question.metric, verdict, base, head, change, margin=question.margin)

    def _skipped(self, error: InferkitError, what: str = "") -> Outcome:
        return skipped(self._question.case, self._question.metric, error, what)

    def _value_of_good(self) -> float:
        if self._good is None:
            try:
                self._good = self._value(self._question.good)
            except InferkitError as error:
                raise MeasurementError(f"GOOD ({self._question.good[:10]}) cannot be measured: {error}") from error
        return self._good

    def _value(self, commit: str) -> float:
        """The metric's value at a commit, in its unit. InferkitError where it has none."""
        question = self._question
        matrix = Path(question.matrix)
        with commit_checkout("HEAD", self._repository, commit, matrix, question.extras) as side:
            progress = self._make_progress()
            progress.begin(2)
            try:
                return (_accuracy if question.metric == ACCURACY else _measured)(side, question, progress)
            finally:
                progress.end()


def _measured(side: Side, question: Question, progress: Progress) -> float:
    bench = Bench(side, progress.during, _SHORT)
    with contextlib.closing(bench):
        case = case_of(side, question.case)
        data = data_of(case.mode, [bench.replicate(case, question.metric)])
    values = data.get(METRICS[question.metric].datum)
    if not values or not values[0] > 0:
        raise NotMeasurable(f"{question.case} has no {question.metric} on {case.backend}")
    return values[0]


def _accuracy(side: Side, question: Question, progress: Progress) -> float:
    case = case_of(side, question.case)
    network = side.matrix.cases()[case]
    if network.dataset is None:
        raise NotMeasurable(f"the matrix declares no dataset of {case.model}")
    with contextlib.closing(Artifacts(progress.during, side.by)) as artifacts:
        evaluations = Evaluations(side.matrix, artifacts, progress.during)
        evaluated, _ = evaluations.evaluate(AccuracyCase(case.model, case.precision, case.backend), network)
    return float(evaluated.top1_percent)
