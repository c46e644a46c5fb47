"""The metrics beside the latency's median: execution, tail, memory, engine size, build time, cold start.

What varies from process to process (p99, host memory, build time, cold start) is judged on logarithms of each
replicate like the latency, but a change must be shown to exceed its whole margin, and each metric has an error of its
own of 1 % over the suite. The execution on a GPU is judged with the latency's margin and tolerance: where others use
the machine's bus and host as well, it is what shows that an engine is 2 % slower. What a build fixes (device memory,
engine size) is compared byte by byte: growth beyond the margin is a regression, growth within it is named.

An engine that is built once and run by many processes has one build time, however often it is written down. Fewer than
three builds a side tell nothing of how much builds differ: only more than twice as long, and two seconds, is slower.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from inferkit.gate.outcome import (
    BUILD_TIME,
    COLD_START,
    DEVICE_MEMORY,
    ENGINE_SIZE,
    EXECUTION,
    HOST_MEMORY,
    P99,
    Outcome,
    Verdict,
    shower,
)
from inferkit.gate.rules.rule import CaseLatency

_P99_FACTOR = 2.0  # the tail's margin, in margins of the latency
MEMORY_MARGIN = 0.10
BUILD_MARGIN = 0.25
COLD_START_MARGIN = 0.50
# Of fewer builds than tell their own noise: builds of a second have differed by half, and wait for others at work.
FEW_BUILDS_MARGIN, FEW_BUILDS_FLOOR = 1.0, 2.0
# Bytes and seconds that allocators and the start of a process move by for reasons of their own.
FLOORS = {HOST_MEMORY: 4 << 20, BUILD_TIME: 0.1, COLD_START: 0.5}
_FLOORED = (
    (HOST_MEMORY, "memories", MEMORY_MARGIN),
    (BUILD_TIME, "build_seconds", BUILD_MARGIN),
    (COLD_START, "cold_start", COLD_START_MARGIN),
)
_FEWEST = 3  # replicates a side: two that agree by chance would look like a case without noise
# Of memory and cold start: one of three may have compiled kernels for the others, and the other side tells the noise.
_FEWEST_STARTED = 2
# The same network's TensorRT engine differs from build to build, as tactics are chosen by timing.
REBUILT_MARGIN = 0.02
EXACT_MARGIN = 0.0
_ALPHA = 0.02  # REGRESSED and IMPROVED together, half each


@dataclass(frozen=True)
class SideFacts:
    """What is known of one case besides its log-medians, one value per replicate, or one of the engine.

    Bytes and seconds; `log_execution` and `log_p99` are logarithms of seconds. Empty or None where it is not known.
    """

    log_p99: tuple[float, ...] = ()
    memories: tuple[int, ...] = ()
    build_seconds: tuple[float, ...] = ()
    cold_start: tuple[float, ...] = ()
    device_memory: int | None = None
    engine_bytes: int | None = None
    log_execution: tuple[float, ...] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> SideFacts:
        """From the facts of a run's case or the fields of a baseline's, already checked."""
        values: dict[str, Any] = {}
        for name in ("log_execution", "log_p99", "memories", "build_seconds", "cold_start"):
            values[name] = tuple(facts.get(name) or ())
        for name in ("device_memory", "engine_bytes"):
            values[name] = None if facts.get(name) is None else int(facts[name])
        return cls(**values)

    def without_building(self) -> SideFacts:
        """Without what building anew costs: where one side's engine came from a cache, its times are other times."""
        return replace(self, build_seconds=(), cold_start=())

    def pooled(self, other: SideFacts) -> SideFacts:
        """Both as replicates of one; of an engine's facts, the larger."""
        return SideFacts(
            self.log_p99 + other.log_p99,
            self.memories + other.memories,
            self.build_seconds + other.build_seconds,
            self.cold_start + other.cold_start,
            _larger(self.device_memory, other.device_memory),
            _larger(self.engine_bytes, other.engine_bytes),
            self.log_execution + other.log_execution,
        )


def _larger(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)


@dataclass(frozen=True)
class SideCase:
    """One case's facts now and before, its latency margin, and whether its engine is rebuilt by timing (TensorRT)."""

    case: str
    now: SideFacts
    before: SideFacts
    latency_margin: float
    rebuilt: bool = False


def judge_sides(cases: Sequence[SideCase], family: int | None = None) -> list[Outcome]:
    """The outcomes of every metric that both sides of a case know, metric by metric.

    `family` is how many cases are judged in all where these are only some of them: they get their part of the error.
    """
    part = 1.0 if family is None else min(len(cases) / max(family, 1), 1.0)
    tails = [(c, c.now.log_p99, c.before.log_p99, _P99_FACTOR * c.latency_margin) for c in cases]
    outcomes = _varying(P99, tails, part)
    executions = [(c, c.now.log_execution, c.before.log_execution, c.latency_margin) for c in cases]
    outcomes += _varying(EXECUTION, executions, part, whole_margin=False)
    for metric, field, margin in _FLOORED:
        values = [(c, getattr(c.now, field), getattr(c.before, field)) for c in cases]
        if metric == BUILD_TIME:
            repeated = [each for each in values if not _few(*each[1:])]
            values = [(c, _builds(now), _builds(before)) for c, now, before in repeated]
            outcomes += [_of_few_builds(*each) for each in values if _few(*each[1:])]
        logs = [(c, _logs(now), _logs(before), margin) for c, now, before in values]
        fewest = _FEWEST if metric == BUILD_TIME else _FEWEST_STARTED
        outcomes += [_above_floor(outcome) for outcome in _varying(metric, logs, part, fewest=fewest)]
    for case in cases:
        if case.rebuilt:
            # Other backends compute in host memory, which is judged as such: allocators never do the same twice.
            before, now = case.before.device_memory, case.now.device_memory
            outcomes += _exact(case.case, DEVICE_MEMORY, before, now, REBUILT_MARGIN)
        margin = REBUILT_MARGIN if case.rebuilt else EXACT_MARGIN
        outcomes += _exact(case.case, ENGINE_SIZE, case.before.engine_bytes, case.now.engine_bytes, margin)
    return outcomes


def _logs(values: Sequence[float]) -> tuple[float, ...]:
    """Logarithms; none at all where a value has none, since what is left would be another experiment."""
    return tuple(map(math.log, values)) if all(value > 0 for value in values) else ()


def _varying(
    metric: str,
    cases: Sequence[tuple[SideCase, tuple[float, ...], tuple[float, ...], float]],
    part: float,
    whole_margin: bool = True,
    fewest: int = _FEWEST,
) -> list[Outcome]:
    from inferkit.gate.rules.moderated import ModeratedRule  # needs scipy
    from inferkit.gate.stats.judge import Policy

    suite = [
        CaseLatency(c.case, now, before, margin) for c, now, before, margin in cases if not _few(now, before, fewest)
    ]
    policy = Policy(alpha=part * _ALPHA)
    rule = ModeratedRule(looks=(), policy=replace(policy, tolerance_share=1.0) if whole_margin else policy)
    return [replace(outcome, metric=metric) for outcome in rule.judge(suite)]


def _few(now: Sequence[float], before: Sequence[float], fewest: int = _FEWEST) -> bool:
    """Whether one side has fewer than `fewest`, or neither has enough to tell its noise."""
    return min(len(now), len(before)) < fewest or max(len(now), len(before)) < _FEWEST


def _builds(seconds: Sequence[float]) -> tuple[float, ...]:
    """One time for each build: processes that ran one engine all tell the same."""
    return tuple(dict.fromkeys(seconds))


def _of_few_builds(case: SideCase, now: Sequence[float], before: Sequence[float]) -> Outcome:
    was, is_ = median(before), median(now)
    change = is_ / was - 1 if was > 0 else 0.0
    verdict = Verdict.PASS
    if abs(is_ - was) > FEW_BUILDS_FLOOR:
        if change > FEW_BUILDS_MARGIN:
            verdict = Verdict.REGRESSED
        elif change < 1 / (1 + FEW_BUILDS_MARGIN) - 1:
            verdict = Verdict.IMPROVED
    counts = f"builds {len(now)} against {len(before)}: how much builds differ is not known"
    return Outcome(case.case, BUILD_TIME, verdict, was, is_, change, margin=FEW_BUILDS_MARGIN, reason=counts)


def _above_floor(outcome: Outcome) -> Outcome:
    """Small things differ a lot for reasons of their own: below the floor no change is worth a word."""
    floor = FLOORS[outcome.metric]
    if outcome.verdict is Verdict.PASS or abs((outcome.now or 0.0) - (outcome.baseline or 0.0)) > floor:
        return outcome
    return replace(outcome, verdict=Verdict.PASS, reason=f"less than {shower(outcome.metric)(floor)} either way")


def _exact(case: str, metric: str, before: int | None, now: int | None, margin: float) -> list[Outcome]:
    if before is None or now is None:
        return []
    change = now / before - 1 if before else (math.inf if now else 0.0)
    grown = now - before
    verdict, reason = Verdict.PASS, f"{grown:,} bytes more" if grown > 0 else ""
    if change > margin:
        verdict = Verdict.REGRESSED
    elif change < -margin:
        verdict, reason = Verdict.IMPROVED, f"{-grown:,} bytes less"
    shown = change if math.isfinite(change) else None
    return [Outcome(case, metric, verdict, before, now, shown, margin=margin, reason=reason)]
