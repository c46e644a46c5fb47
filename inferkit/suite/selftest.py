"""The gate tried on this machine: suites in which nothing changed, and suites slowed down really, through the pipeline.

One measured suite becomes the baseline. Every further suite is measured and judged as `pytest bench` does it, in fresh
processes, with its re-measurements. In a slowed suite one case of four is slowed (others in the next suite), so that
the rule sees a regression among cases that did not change; what it says of those counts as false alarms too.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from inferkit.errors import UsageError
from inferkit.gate.baseline import Baseline, BaselineStore, CaseBaseline
from inferkit.gate.outcome import BUILD_TIME, HOST_MEMORY, LATENCY, P99, Outcome
from inferkit.gate.power import Detection, SelfTest, Share, SuiteData, case_powers
from inferkit.gate.side import SideFacts
from inferkit.gate.verdict import Verdict
from inferkit.measure.case import Case
from inferkit.suite.campaign import Campaign, Settings
from inferkit.suite.definition import Matrix
from inferkit.suite.rows import latency_facts

# What a slowdown of each kind must be found in.
METRICS = {"latency": LATENCY, "tail": P99, "memory": HOST_MEMORY, "build": BUILD_TIME}


@dataclass(frozen=True)
class Plan:
    """How much is tried: so many unchanged suites, and for each (kind, share) so many slowed ones.

    In a slowed suite one case of `one_in` is slowed.
    """

    suites: int = 10
    effects: tuple[tuple[str, float], ...] = (("latency", 0.02), ("latency", 0.05), ("latency", 0.10))
    slowed_suites: int = 4
    one_in: int = 4

    def __post_init__(self) -> None:
        for kind, _ in self.effects:
            if kind not in METRICS:
                raise UsageError(f"{kind!r} cannot be tried; there are {', '.join(METRICS)}")


@dataclass(frozen=True)
class _Judged:
    outcomes: tuple[Outcome, ...]
    seconds: float
    log_medians: Mapping[str, tuple[float, ...]]


def run_selftest(
    matrix: Matrix,
    cases: Sequence[Case],
    settings: Settings,
    plan: Plan,
    say: Callable[[str], None] = lambda text: None,
) -> SelfTest:
    """Measure, judge and count. UsageError where no case can be measured here."""
    with tempfile.TemporaryDirectory(prefix="inferkit-selftest-") as folder:
        store = BaselineStore(folder)
        say("the baseline")
        stored = _store_baseline(matrix, cases, settings, store)
        measured = [case for case in cases if case.id in stored]
        if not measured:
            raise UsageError("none of these cases can be measured here")
        unchanged = []
        for number in range(plan.suites):
            say(f"unchanged suite {number + 1} of {plan.suites}")
            unchanged.append(_suite(matrix, measured, settings, store))
        detections, others = [], []
        suites = [SuiteData("", 0.0, (), judged.log_medians) for judged in unchanged]
        for kind, share in plan.effects:
            hits, trials, seconds = 0, 0, []
            for number in range(plan.slowed_suites):
                say(f"{kind} +{100 * share:g} %, suite {number + 1} of {plan.slowed_suites}")
                slowed = {case.id for index, case in enumerate(measured) if (index + number) % plan.one_in == 0}
                slowed = slowed or {measured[number % len(measured)].id}
                inject = {case: {kind: share} for case in slowed}
                judged = _suite(matrix, measured, replace(settings, inject=inject), store)
                found = {o.case for o in judged.outcomes if o.metric == METRICS[kind] and _regressed(o)}
                hits, trials = hits + len(found & slowed), trials + len(slowed)
                seconds.append(judged.seconds)
                suites.append(SuiteData(kind, share, tuple(sorted(slowed)), judged.log_medians))
                others.append(tuple(o for o in judged.outcomes if o.case not in slowed))
            detections.append(Detection(kind, share, Share.of(hits, trials), tuple(seconds)))
    everything = [o for judged in unchanged for o in judged.outcomes] + [o for suite in others for o in suite]
    alarms = [o.line for o in everything if _regressed(o)]
    failing = sum(any(map(_regressed, judged.outcomes)) for judged in unchanged)
    return SelfTest(
        Share.of(failing, len(unchanged)),
        Share.of(len(alarms), len(everything)),
        sum(o.verdict is Verdict.INCONCLUSIVE and o.metric == LATENCY for o in everything),
        tuple(alarms),
        tuple(detections),
        case_powers([[o for o in judged.outcomes if o.metric == LATENCY] for judged in unchanged]),
        tuple(judged.seconds for judged in unchanged),
        SuiteData("baseline", 0.0, (), stored),
        tuple(suites),
    )


def _regressed(outcome: Outcome) -> bool:
    return outcome.verdict is Verdict.REGRESSED


def _store_baseline(
    matrix: Matrix, cases: Sequence[Case], settings: Settings, store: BaselineStore
) -> dict[str, tuple[float, ...]]:
    """One measured suite as the baseline; returns the log-medians of the cases that could be measured."""
    with Campaign(matrix, store, replace(settings, for_baseline=True)) as campaign:
        campaign.run(cases)
        records = [record for record in campaign.latency.values() if record.open and record.replicates]
    by_fingerprint: dict[str, Baseline] = {}
    for record in records:
        assert record.fingerprint is not None
        side = SideFacts.of(latency_facts(record))
        case = CaseBaseline(record.log_medians, **side.__dict__)
        known = by_fingerprint.get(record.fingerprint.slug, Baseline(record.fingerprint))
        stored: Mapping[str, CaseBaseline] = {**known.cases, record.case.id: case}
        by_fingerprint[record.fingerprint.slug] = replace(known, cases=stored)
    for baseline in by_fingerprint.values():
        store.write(baseline)
    return {record.case.id: record.log_medians for record in records}


def _suite(matrix: Matrix, cases: Sequence[Case], settings: Settings, store: BaselineStore) -> _Judged:
    """One suite through the whole pipeline: measured, suspicious cases measured further, judged."""
    began = time.monotonic()
    with Campaign(matrix, store, settings) as campaign:
        campaign.run(cases)
        outcomes = [record.outcome for record in campaign.latency.values() if record.outcome is not None]
        outcomes += [outcome for record in campaign.latency.values() for outcome in record.sides]
        medians = {record.case.id: record.log_medians for record in campaign.latency.values() if record.replicates}
    return _Judged(tuple(outcomes), round(time.monotonic() - began, 3), medians)


def percentile_of(seconds: Sequence[float], share: float) -> float:
    """The smallest of these times that `share` of them do not exceed; NaN for none."""
    ordered = sorted(seconds)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else math.nan
