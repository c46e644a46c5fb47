"""The gate's self-test on this machine: unchanged suites, and suites with injected slowdowns, through the pipeline.

One measured suite becomes the baseline, or a stored one is taken. Every further suite is measured and judged as `pytest
bench` does it, in fresh processes, with its re-measurements. In a slowed suite one case of four is slowed (others in
the next suite), so that the rule sees a regression among cases that did not change; what it says of those counts as
false alarms too.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from inferkit.errors import UsageError
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.metrics import BUILD_TIME, HOST_MEMORY, LATENCY, P99
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.power import Detection, SelfTest, Share, SuiteData, case_powers
from inferkit.measure.case import Case
from inferkit.suite.campaign.artifacts import Artifacts
from inferkit.suite.campaign.campaign import Campaign, CampaignSettings
from inferkit.suite.campaign.records import run_of
from inferkit.suite.matrix.definition import Matrix

# The metric in which a slowdown of each kind must be detected.
METRICS = {"latency": LATENCY, "tail": P99, "memory": HOST_MEMORY, "build": BUILD_TIME}


@dataclass(frozen=True)
class SelfTestPlan:
    """The suites of a self-test: so many unchanged ones, and for each (kind, share) so many slowed ones.

    `baselines` is the folder of stored ones to compare with; None measures one first. In a slowed suite one case of
    `one_in` is slowed. The two take turns, and no suite is begun that would end after `seconds`, as long as the others
    took.
    """

    suites: int = 10
    effects: tuple[tuple[str, float], ...] = (("latency", 0.02), ("latency", 0.05), ("latency", 0.10))
    slowed_suites: int = 4
    one_in: int = 4
    seconds: float | None = None
    baselines: Path | None = None

    def __post_init__(self) -> None:
        for kind, _ in self.effects:
            if kind not in METRICS:
                raise UsageError(f"{kind!r} cannot be injected; there are {', '.join(METRICS)}")

    def schedule(self) -> list[tuple[str, float, int]]:
        """(kind, share, number) of every suite in the order they are measured; an unchanged one has no kind."""
        turns = [("", 0.0, number, number / self.suites) for number in range(self.suites)]
        for kind, share in self.effects:
            turns += [(kind, share, n, (n + 0.5) / self.slowed_suites) for n in range(self.slowed_suites)]
        return [(kind, share, number) for kind, share, number, _ in sorted(turns, key=lambda turn: turn[3])]


@dataclass(frozen=True)
class Tried:
    """One suite that was measured and judged. `seconds` is the time to its verdicts."""

    data: SuiteData
    outcomes: tuple[Outcome, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self.data),
            "seconds": self.seconds,
            "verdicts": {f"{o.case} {o.metric}": str(o.verdict) for o in self.outcomes},
        }


def run_selftest(
    matrix: Matrix,
    cases: Sequence[Case],
    settings: CampaignSettings,
    plan: SelfTestPlan,
    say: Callable[[str], None] = lambda text: None,
    keep: Callable[[Mapping[str, Any]], None] = lambda suite: None,
) -> SelfTest:
    """Measure, judge and count. `keep` is given every suite as soon as it is judged. UsageError where no case can be
    measured here.
    """
    began = time.monotonic()
    with _Runner(matrix, settings, plan.baselines) as runner:
        say("measuring the baseline" if plan.baselines is None else f"reading the baselines in {plan.baselines}")
        baseline = runner.stored_baseline(cases) if plan.baselines is not None else runner.measure_baseline(cases)
        keep(asdict(baseline))
        if not runner.cases:
            where = "" if plan.baselines is None else f", or {plan.baselines} has no baseline of them for this machine"
            raise UsageError(f"none of these cases can be measured here{where}")
        tried: list[Tried] = []
        for kind, share, number in plan.schedule():
            longest = max((suite.seconds for suite in tried), default=0.0)
            if plan.seconds is not None and time.monotonic() - began + longest > plan.seconds:
                say(f"the time limit is reached after {len(tried)} suites")
                break
            say(f"{kind} +{100 * share:g} %, suite {number + 1}" if kind else f"unchanged suite {number + 1}")
            tried.append(runner.suite(kind, share, _slowed(runner.cases, kind, number, plan.one_in)))
            keep(tried[-1].as_dict())
    return _counted(baseline, tried, plan.effects)


def _slowed(cases: Sequence[Case], kind: str, number: int, one_in: int) -> tuple[str, ...]:
    """The cases that are slowed in suite `number`: others in the next one, and never none."""
    if not kind:
        return ()
    chosen = [case.id for index, case in enumerate(cases) if (index + number) % one_in == 0]
    return tuple(chosen or [cases[number % len(cases)].id])


def _counted(baseline: SuiteData, tried: Sequence[Tried], effects: Sequence[tuple[str, float]]) -> SelfTest:
    unchanged = [suite for suite in tried if not suite.data.kind]
    detections = []
    for kind, share in effects:
        suites = [suite for suite in tried if (suite.data.kind, suite.data.share) == (kind, share)]
        expected = [_expected(suite, METRICS[kind]) for suite in suites]
        hits = sum(o.verdict is Verdict.REGRESSED for outcomes in expected for o in outcomes)
        trials = sum(map(len, expected))
        detections.append(Detection(kind, share, Share.of(hits, trials), tuple(suite.seconds for suite in suites)))
    everything = [o for suite in tried for o in suite.outcomes if o.case not in suite.data.slowed]
    alarms = [o.line for o in everything if o.verdict is Verdict.REGRESSED]
    failing = sum(any(o.verdict is Verdict.REGRESSED for o in suite.outcomes) for suite in unchanged)
    return SelfTest(
        Share.of(failing, len(unchanged)),
        Share.of(len(alarms), len(everything)),
        sum(o.verdict is Verdict.INCONCLUSIVE and o.metric == LATENCY for o in everything),
        tuple(alarms),
        tuple(detections),
        case_powers([[o for o in suite.outcomes if o.metric == LATENCY] for suite in unchanged]),
        tuple(suite.seconds for suite in unchanged),
        baseline,
        tuple(suite.data for suite in tried),
    )


def _expected(suite: Tried, metric: str) -> list[Outcome]:
    """The outcomes of the slowed cases in the metric that was slowed, where the slowdown is as large as the margin:
    a case that may be 10 % slower need not be detected at 2 %."""
    return [
        o
        for o in suite.outcomes
        if o.case in suite.data.slowed and o.metric == metric and not (o.margin or 0.0) > suite.data.share + 1e-9
    ]


class _Runner:
    """Runs suites against a baseline of their own; networks are prepared once for all of them."""

    def __init__(self, matrix: Matrix, settings: CampaignSettings, baselines: Path | None = None) -> None:
        self._matrix, self._settings = matrix, settings
        self._folder = tempfile.TemporaryDirectory(prefix="inferkit-selftest-")
        self._store = BaselineStore(baselines or self._folder.name)
        self._artifacts = Artifacts(lambda text: contextlib.nullcontext())
        self.cases: tuple[Case, ...] = ()

    def __enter__(self) -> _Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self._artifacts.close()
        self._folder.cleanup()

    def stored_baseline(self, cases: Sequence[Case]) -> SuiteData:
        """What the folder of baselines has; `cases` are those that it has, and that can be measured here."""
        campaign, networks = self._campaign(self._settings), self._matrix.all_cases()
        kept: list[Case] = []
        medians: dict[str, tuple[float, ...]] = {}
        margins: dict[str, float] = {}
        for case in cases:
            record = campaign.record(case, networks[case])
            baseline = self._store.find(record.fingerprint) if record.open and record.fingerprint is not None else None
            if baseline is None or case.id not in baseline.cases:
                continue
            kept.append(case)
            measured = [(record, baseline.cases[case.id].log_medians)]
            for reference in baseline.references.values():
                references = campaign.references.fresh([record], campaign.record)
                measured += [(each, reference.log_medians) for each in references]
            for each, logs in measured:
                medians[each.case.id], margins[each.case.id] = logs, each.margin
        self.cases = tuple(kept)
        return SuiteData("baseline", 0.0, (), medians, margins)

    def measure_baseline(self, cases: Sequence[Case]) -> SuiteData:
        """One measured suite as the baseline; `cases` are those that could be measured."""
        campaign = self._campaign(replace(self._settings, for_baseline=True))
        campaign.run(cases)
        records = [record for record in campaign.latency.values() if record.open and record.replicates]
        run = run_of(records, campaign.references.measured())
        for slug in run.fingerprints:
            self._store.write(replace(run.of(slug), invalid={}))
        self.cases = tuple(record.case for record in records)
        measured = [*campaign.references.records.values(), *records]
        medians = {record.case.id: record.log_medians for record in measured}
        return SuiteData("baseline", 0.0, (), medians, {record.case.id: record.margin for record in measured})

    def suite(self, kind: str, share: float, slowed: tuple[str, ...]) -> Tried:
        """One suite through the whole pipeline: measured, suspicious cases measured further, judged."""
        began = time.monotonic()
        campaign = self._campaign(replace(self._settings, inject={case: {kind: share} for case in slowed}))
        campaign.run(self.cases)
        outcomes = [record.outcome for record in campaign.latency.values() if record.outcome is not None]
        outcomes += [outcome for record in campaign.latency.values() for outcome in record.others]
        measured = [*campaign.references.records.values(), *campaign.latency.values()]
        medians = {record.case.id: record.log_medians for record in measured if record.replicates}
        data = SuiteData(kind, share, slowed, medians)
        return Tried(data, tuple(outcomes), round(time.monotonic() - began, 3))

    def _campaign(self, settings: CampaignSettings) -> Campaign:
        return Campaign(self._matrix, self._store, settings, artifacts=self._artifacts)


def percentile_of(seconds: Sequence[float], share: float) -> float:
    """The smallest of these times that `share` of them do not exceed; NaN for none."""
    ordered = sorted(seconds)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else math.nan
