"""What a test of the suite does with its case: hand the times to pytest-benchmark, and turn the outcome into a result.

REGRESSED and MISSING fail, and so does a case that could not be measured. NO_BASELINE, SCREENED, UNSUPPORTED,
INCONCLUSIVE and INVALID are skips to pytest, each under its own word, so that none of them looks like a pass; they fail
where the project is strict about them, or requires what they lack. WAIVED is a skip too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from inferkit.backends import backend
from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import FAILING, Outcome, Verdict, deciding
from inferkit.measure.case import Case
from inferkit.suite.campaign.facts import accuracy_facts, accuracy_row, latency_facts, latency_row
from inferkit.suite.campaign.records import AccuracyRecord, CaseRecord, Unsupported
from inferkit.suite.matrix.definition import AccuracyCase
from inferkit.suite.session import pytest_benchmark
from inferkit.suite.session.replay import replay, thinned
from inferkit.suite.session.state import MissingCase, Parameter, Suite
from inferkit.suite.session.xdist import is_worker

# What a test leaves for the reports: JSON-able, so that it travels from a worker of pytest-xdist.
RESULT = pytest.StashKey[dict[str, Any]]()

XDIST_REASON = "latency cases share the CPU with the other workers of pytest-xdist"
XDIST_HINT = "run them without -n"


class Check:
    """The fixture's value: `check()` is all that a test does. `_table` is the one that shows its case."""

    _table = "latency"

    def __init__(self, suite: Suite, parameter: Parameter, benchmark: Any, item: pytest.Item) -> None:
        self._suite = suite
        self._parameter = parameter
        self._benchmark = benchmark
        self._item = item
        self._failing = suite.failing(parameter)

    @property
    def case(self) -> Case | AccuracyCase | MissingCase:
        """The case that this test is about."""
        return self._parameter.case

    def _judged(self, outcome: Outcome, row: Mapping[str, Any]) -> None:
        """Pass, skip or fail as the verdict says."""
        (outcome,) = self._suite.waived([outcome], self.case, self._parameter.matrix)
        self._leave(outcome, row)
        if outcome.verdict in self._failing:
            text = outcome.line
            if outcome.is_unmeasured:  # the table of verdicts has the rest, once for all cases
                text = f"{outcome.case}: not measured: {outcome.reason.partition(chr(10))[0].rstrip(':')}"
            self._item.stash[RESULT]["failure"] = text
            pytest.fail(text, pytrace=False)
        if outcome.verdict not in (Verdict.PASS, Verdict.IMPROVED):
            pytest.skip(outcome.line)

    def _unmeasured(self, outcome: Outcome, row: Mapping[str, Any]) -> None:
        """As `_judged`, of a case that no campaign has: the run's record gets its outcome from here."""
        (outcome,) = self._suite.waived([outcome], self.case, self._parameter.matrix)
        if outcome not in self._suite.unmeasured:  # another plugin may run a failed test again
            self._suite.unmeasured.append(outcome)
        self._judged(outcome, row)

    def _unsupported(self, why: Unsupported, metric: str) -> None:
        outcome = Outcome(self.case.id, metric, Verdict.UNSUPPORTED, reason=why.reason, hint=why.hint)
        row = {"kind": "unsupported", "case": self.case.id, "reason": why.reason, "hint": why.hint}
        self._judged(outcome, row)

    def _failed(self, outcome: Outcome) -> None:
        row = {"kind": "failed", "table": self._table, "verdict": "FAILED"}
        row |= {"case": outcome.case, "reason": outcome.reason}
        self._judged(outcome, row)

    def _leave(self, outcome: Outcome, row: Mapping[str, Any]) -> None:
        self._item.stash[RESULT] = {"verdict": str(outcome.verdict), "line": outcome.line, "row": dict(row)}
        # JUnit writes these as properties of the test case.
        self._item.user_properties += [("verdict", str(outcome.verdict)), ("inferkit", outcome.line)]

    def _hand_over(self, times: list[float], facts: Mapping[str, Any]) -> None:
        config = self._suite.config
        if is_worker(config) and not pytest_benchmark.is_disabled(config):
            pytest_benchmark.enable(self._benchmark)  # what other workers would disturb was timed already
        self._benchmark.extra_info.update(facts)
        replay(self._benchmark, self._parameter.timer, times)


class LatencyCheck(Check):
    """Latency of one case against this machine's baseline."""

    def check(self) -> None:
        """Pass, skip or fail; measures now where the campaign has not."""
        case = self.case
        if isinstance(case, MissingCase):
            self._unmeasured(missing(case), {"kind": "missing", "case": case.id, "file": case.file})
            return
        assert isinstance(case, Case)
        if is_worker(self._suite.config) and not backend(case.backend).facts.on_gpu:  # a GPU is leased
            outcome = Outcome(case.id, LATENCY, Verdict.INVALID, reason=XDIST_REASON, hint=XDIST_HINT)
            self._unmeasured(outcome, {"kind": "invalid", "case": case.id, "reason": XDIST_REASON})
            return
        campaign = self._suite.campaign(self._parameter.matrix)
        if case not in campaign.latency:
            campaign.run([case])
            self._suite.waive(self._parameter.matrix)
        record = campaign.latency[case]
        if record.unsupported is not None:
            self._unsupported(record.unsupported, LATENCY)
        if record.failure is not None:
            self._failed(*record.outcomes)
        if record.outcome is not None and not record.replicates:
            # An interleaved run that came to no block: there are no times to hand over.
            self._judged(record.outcome, {"kind": "invalid", "case": case.id, "reason": record.outcome.reason})
            return
        self._hand_over(thinned([each.walls for each in record.replicates]), latency_facts(record))
        if record.outcome is not None:
            self._judged(*decided(record.outcome, record.others, latency_row(record)))

    @property
    def record(self) -> CaseRecord | None:
        """What was measured, once `check` has run."""
        campaign = self._suite.campaign(self._parameter.matrix)
        return campaign.latency.get(self.case) if isinstance(self.case, Case) else None


class ServiceCheck(LatencyCheck):
    """A network under one of MLPerf's scenarios: its datum against this machine's baseline, like a latency."""

    _table = "service"


class AccuracyCheck(Check):
    """Top-1 of one case against FP32 on the same images, or against what the matrix declares."""

    _table = "accuracy"

    def check(self) -> None:
        """Pass, skip or fail; evaluates now where the campaign has not."""
        case = self.case
        assert isinstance(case, AccuracyCase)
        campaign = self._suite.campaign(self._parameter.matrix)
        if case not in campaign.accuracy:
            campaign.run([], [case])
            self._suite.waive(self._parameter.matrix)
        record = campaign.accuracy[case]
        if record.unsupported is not None:
            self._unsupported(record.unsupported, "top-1")
        if record.failure is not None:
            self._failed(*record.outcomes)
        assert record.accuracy is not None
        self._hand_over([record.accuracy.elapsed], accuracy_facts(record))
        if record.outcome is not None:
            self._judged(record.outcome, accuracy_row(record))

    @property
    def record(self) -> AccuracyRecord | None:
        """What was measured, once `check` has run."""
        campaign = self._suite.campaign(self._parameter.matrix)
        return campaign.accuracy.get(self.case) if isinstance(self.case, AccuracyCase) else None


_WORSE = FAILING | {Verdict.WAIVED}


def decided(outcome: Outcome, others: Sequence[Outcome], row: Mapping[str, Any]) -> tuple[Outcome, Mapping[str, Any]]:
    """What a case is judged by, and its row; where that is not the latency, the row says what it is.

    `also` are the lines of what else became worse: one verdict must not hide it.
    """
    said = deciding([outcome, *others])
    beside = [other for other in (outcome, *others) if other is not said]
    row = {**row, "also": [other.line for other in beside if other.verdict in {*_WORSE, Verdict.INVALID}]}
    if said is outcome:
        return outcome, row
    reason = "; ".join(other.line for other in others if other.verdict is said.verdict)
    return said, {**row, "verdict": str(said.verdict), "deciding_metric": said.metric, "reason": reason}


def missing(case: MissingCase) -> Outcome:
    """The outcome of a case that vanished."""
    return Outcome(
        case.id,
        LATENCY,
        Verdict.MISSING,
        reason=f"it is in {case.file}, but no matrix of this run declares it",
        hint="declare it again, run the tests of the matrix that does with these, or promote a run without it",
    )
