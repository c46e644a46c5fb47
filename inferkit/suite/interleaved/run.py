"""The interleaved A/B run: blocks of fresh processes of both sides, looked at until every case has its verdict."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from inferkit.errors import BackendUnavailable, InferkitError
from inferkit.gate.layer_diff import LayerDiff
from inferkit.gate.outcome import LATENCY, Outcome, Verdict
from inferkit.gate.rules.interleaved import BLOCKS, Blocks, ab_outcome, head_first, without
from inferkit.gate.stats.looks import LookPlan
from inferkit.gate.stats.sequential import advance, begin
from inferkit.measure.case import Case
from inferkit.measure.latency.replicate import Replicate
from inferkit.measure.progress import Progress
from inferkit.suite.campaign.explain import explain_sides
from inferkit.suite.interleaved.sides import Bench, Side

_INVALID_RETRIES = 2
_PROFILED = 3  # blocks after whose measurement the layers are timed: one profile may have been disturbed
# Sides whose clocks differ by more were not measured on the same card in the same state, unless power was the limit:
# then the clock follows from what the engine draws, and is the engine's own.
_CLOCK_DIFFERENCE = 0.02


@dataclass
class _Run:
    """One case on its way: its blocks so far, or how it ended early."""

    case: Case
    margin: float
    orders: tuple[bool, ...]
    base: list[Replicate] = field(default_factory=list)
    head: list[Replicate] = field(default_factory=list)
    ended: Outcome | None = None

    @property
    def blocks(self) -> Blocks:
        return Blocks(
            self.case.id,
            self.margin,
            tuple(each.log_median for each in self.base),
            tuple(each.log_median for each in self.head),
        )


@dataclass(frozen=True)
class ABResult:
    """Outcomes of all cases in order, the replicates they rest on by case id (base, head), and the seed.

    `layers` are the layers that explain a changed latency, by case id.
    """

    outcomes: tuple[Outcome, ...]
    replicates: dict[str, tuple[list[Replicate], list[Replicate]]]
    seed: int
    layers: Mapping[str, LayerDiff] = field(default_factory=dict)


def run_ab(
    base: Side,
    head: Side,
    wanted: Callable[[Case], bool] = lambda case: True,
    *,
    margin: Callable[[str], float],
    counts: Sequence[int] = BLOCKS,
    min_time: float = 0.5,
    seed: int = 0,
    progress: Progress | None = None,
) -> ABResult:
    """Measure and judge every wanted case that both sides declare; `margin` gives a case id's, as a share.

    A case of one side only is MISSING or NO_BASELINE. One that the head fails at and the base does not is REGRESSED;
    one that the base fails at is INVALID, since nothing can be said of it.
    """
    session = _Session(base, head, min_time, progress or Progress())
    plan = LookPlan(tuple(counts))
    there, here = ({case: None for case in side.matrix.cases() if wanted(case)} for side in (base, head))
    runs = [_Run(case, margin(case.id), head_first(seed, case.id, plan.counts)) for case in here if case in there]
    progress = session.progress
    networks = {(run.case.model, run.case.precision) for run in runs}
    progress.begin(2 * plan.counts[0] * len(runs) + 2 * len(networks))
    try:
        for run in runs:
            session.prepare(run)
        judged = _judge(session, [run for run in runs if run.ended is None], plan)
    finally:
        session.close()
        progress.end()
    found = [explain_sides(run.ended or judged[run.case.id], run.base, run.head) for run in runs]
    outcomes = [outcome for outcome, _ in found]
    layers = {outcome.case: diff for outcome, diff in found if diff is not None}
    outcomes += [_only(case, Verdict.MISSING, "BASE") for case in there if case not in here]
    outcomes += [_only(case, Verdict.NO_BASELINE, "HEAD") for case in here if case not in there]
    return ABResult(tuple(outcomes), {run.case.id: (run.base, run.head) for run in runs if run.base}, seed, layers)


def _only(case: Case, verdict: Verdict, side: str) -> Outcome:
    return Outcome(case.id, LATENCY, verdict, reason=f"only {side} has it")


def _judge(session: _Session, runs: list[_Run], plan: LookPlan) -> dict[str, Outcome]:
    """Look, measure the undecided further, look again; returns the outcomes of those that did not end early."""
    trial = begin([math.log1p(run.margin) for run in runs], plan, suspicion=0)
    while trial.waiting:
        _measure(session, [(runs[index], trial.count(index)) for index in trial.waiting])
        for index in reversed(range(len(runs))):
            if runs[index].ended is not None:
                del runs[index]
                trial = without(trial, index)
        if not runs:
            return {}
        trial = advance(trial, [run.blocks.evidence for run in runs])
        session.progress.more(2 * sum(trial.count(index) - len(runs[index].base) for index in trial.waiting))
    judged = zip(runs, trial.judgements, strict=True)
    return {run.case.id: ab_outcome(run.blocks, item, plan) for run, item in judged}


def _measure(session: _Session, wanted: Sequence[tuple[_Run, int]]) -> None:
    """One block of every case, then the next of every case: what drifts falls on all alike."""
    most = max((count - len(run.base) for run, count in wanted), default=0)
    for _ in range(most):
        for run, count in wanted:
            if run.ended is None and len(run.base) < count:
                session.block(run)


class _Session:
    """Both benches, and what can go wrong at them."""

    def __init__(self, base: Side, head: Side, min_time: float, progress: Progress) -> None:
        self.progress = progress
        self._base = Bench(base, self._step, min_time)
        self._head = Bench(head, self._step, min_time)

    def close(self) -> None:
        self._base.close()
        self._head.close()

    def prepare(self, run: _Run) -> None:
        for bench in (self._base, self._head):
            if run.ended is None:
                with self._ending(run, bench):
                    bench.prepare(run.case)

    def block(self, run: _Run) -> None:
        """One more block; measured again, at most twice, where the machine was not in a state to measure."""
        reasons: tuple[str, ...] = ()
        number = len(run.base)
        for attempt in range(1 + _INVALID_RETRIES):
            if attempt:
                self.progress.more(2)
            found: dict[Bench, Replicate] = {}
            benches = (self._head, self._base) if run.orders[number] else (self._base, self._head)
            for bench in benches:
                with self._ending(run, bench):
                    what = f"block {number + 1}, {bench.side.name}"
                    found[bench] = bench.replicate(run.case, what, details=number < _PROFILED)
                if run.ended is not None:
                    return
            one, other = found[self._base], found[self._head]
            reasons = disturbances(one, other)
            if not reasons:
                run.base.append(one)
                run.head.append(other)
                return
        reason = f"block {number + 1} was spoiled {1 + _INVALID_RETRIES} times: {', '.join(reasons)}"
        run.ended = Outcome(run.case.id, LATENCY, Verdict.INVALID, reason=reason)

    @contextlib.contextmanager
    def _ending(self, run: _Run, bench: Bench) -> Iterator[None]:
        try:
            yield
        except BackendUnavailable as error:
            run.ended = Outcome(run.case.id, LATENCY, Verdict.UNSUPPORTED, reason=error.reason, hint=error.hint)
        except InferkitError as error:
            verdict = Verdict.REGRESSED if bench is self._head else Verdict.INVALID
            reason = f"{bench.side.name} could not be measured: {error}"
            run.ended = Outcome(run.case.id, LATENCY, verdict, reason=reason)

    @contextlib.contextmanager
    def _step(self, what: str) -> Iterator[None]:
        self.progress.step(what)
        try:
            yield
        finally:
            self.progress.done()


def disturbances(base: Replicate, head: Replicate) -> tuple[str, ...]:
    """Why a block says nothing: what either replicate found, and clocks of the GPU that differ between them."""
    reasons = [*base.invalid, *head.invalid]
    clocks = [(each.gpu or {}).get("sm_mhz_mean") for each in (base, head)]
    capped = any("power_cap" in ((each.gpu or {}).get("reasons") or ()) for each in (base, head))
    if all(clocks) and not capped and abs(math.log(clocks[1] / clocks[0])) > _CLOCK_DIFFERENCE:  # type: ignore[operator]
        reasons.append(f"the GPU ran at {clocks[0]:.0f} MHz for BASE and {clocks[1]:.0f} MHz for HEAD")
    return tuple(dict.fromkeys(reasons))
