"""The interleaved A/B run: blocks of fresh processes of base and head, until every case has its verdict."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from inferkit.errors import BackendUnavailable, InferkitError
from inferkit.gate.judging import Judgements, judge
from inferkit.gate.layer_diff import LayerDiff
from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.interleaved import BLOCKS, InterleavedRule, head_first
from inferkit.gate.rules.rule import BlockRule
from inferkit.gate.run import Run
from inferkit.gate.stated.margins import Margins
from inferkit.measure.case import Case
from inferkit.measure.latency.replicate import Replicate
from inferkit.measure.machine import busy_host
from inferkit.measure.progress import Progress
from inferkit.suite.campaign.records import case_run
from inferkit.suite.interleaved.sides import Bench, Side

_INVALID_RETRIES = 2
_PROFILED = 3  # blocks after whose measurement the layers are timed: one profile may have been disturbed
# Base and head whose clocks differ by more were not measured on the same card in the same state, unless power was the
# limit: then the clock follows from what the engine draws, and is the engine's own.
_CLOCK_DIFFERENCE = 0.02


@dataclass
class _Blocks:
    """One case on its way: its blocks so far, the seconds that they took, or how it ended early."""

    case: Case
    margin: float
    orders: tuple[bool, ...]
    margins: Margins
    base: list[Replicate] = field(default_factory=list)
    head: list[Replicate] = field(default_factory=list)
    spent: float = 0.0
    ended: tuple[Outcome, ...] = ()

    def end(self, verdict: Verdict, reason: str, hint: str = "") -> None:
        """End it without a judgement."""
        self.ended = (Outcome(self.case.id, LATENCY, verdict, reason=reason, hint=hint),)


@dataclass(frozen=True)
class ABResult:
    """Outcomes of all cases in order, and the replicates they rest on by case id (base, head).

    `layers` are the layers that explain a changed latency, by case id.
    """

    outcomes: tuple[Outcome, ...]
    replicates: dict[str, tuple[list[Replicate], list[Replicate]]]
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
    budget: float = math.inf,
    networks: Mapping[str, str] | None = None,
    services: bool = False,
    progress: Progress | None = None,
    rule: BlockRule | None = None,
    base_bench: Bench | None = None,
) -> ABResult:
    """Measure and judge every wanted case that base and head declare; `margin` gives a case id's, as a share.

    A case of base only is MISSING, one of head only NO_BASELINE. One that head fails at and base does not is
    FAILED; one that base fails at is INVALID, since nothing can be said of it. So is one whose network in base is
    not the one that `networks` names by case id (its digest). `budget` are the seconds after which a case that is still
    undecided is measured no further. With `services` the wanted cases may be those too. A `rule` is asked instead of
    an InterleavedRule of `counts`. A `base_bench` is where base is measured already; it stays open.
    """
    session = _Session(base, head, min_time, progress or Progress(), networks or {}, base_bench)
    rule = rule or InterleavedRule(counts)
    declared = [side.matrix.all_cases() if services else side.matrix.cases() for side in (base, head)]
    in_base, in_head = ([case for case in cases if wanted(case)] for cases in declared)
    runs = [
        _Blocks(
            case,
            margin(case.id),
            head_first(seed, case.id, rule.plan.counts),
            head.matrix.margins_of(case, declared[1][case]),
        )
        for case in in_head
        if case in in_base
    ]
    progress = session.progress
    prepared = {(run.case.model, run.case.precision) for run in runs}
    progress.begin(2 * rule.plan.counts[0] * len(runs) + 2 * len(prepared))
    try:
        for run in runs:
            session.prepare(run)
        judged = _judged(session, runs, rule, budget)
    finally:
        session.close()
        progress.end()
    outcomes = [outcome for run in runs for outcome in _outcomes(run, judged)]
    for verdict, side, own, others in (
        (Verdict.MISSING, "base", in_base, in_head),
        (Verdict.NO_BASELINE, "head", in_head, in_base),
    ):
        reason = f"only {side} has it"
        outcomes += [Outcome(case.id, LATENCY, verdict, reason=reason) for case in own if case not in others]
    replicates = {run.case.id: (run.base, run.head) for run in runs if run.base}
    return ABResult(tuple(outcomes), replicates, judged.layers)


def _outcomes(run: _Blocks, judged: Judgements) -> list[Outcome]:
    """What a case was judged as, the latency first; how it ended where it ended early."""
    return list(run.ended) or [outcome for outcome in judged.outcomes if outcome.case == run.case.id]


def _judged(session: _Session, runs: Sequence[_Blocks], rule: BlockRule, budget: float) -> Judgements:
    """Measure, judge, measure the undecided further, until every case is decided or has ended early."""
    wanted: Mapping[str, int] = {run.case.id: rule.plan.counts[0] for run in runs if not run.ended}
    judged = Judgements()
    while wanted:
        _measure(session, [(run, len(run.base) + wanted[run.case.id]) for run in runs if run.case.id in wanted])
        sound = [run for run in runs if not run.ended]
        # Base and head are measured on one machine: its fingerprint needs no name.
        base, head = (
            {run.case.id: case_run(run.case, getattr(run, side), run.margin, "", run.margins) for run in sound}
            for side in ("base", "head")
        )
        judged = judge(Run(cases=base), Run(cases=head), rule=rule)
        wanted = rule.more([outcome for outcome in judged.outcomes if outcome.metric == LATENCY])
        for run in sound:
            if run.case.id in wanted and run.spent >= budget:
                run.ended = tuple(_out_of_time(run, outcome, budget) for outcome in _outcomes(run, judged))
        wanted = {run.case.id: wanted[run.case.id] for run in sound if run.case.id in wanted and not run.ended}
        session.progress.more(2 * sum(wanted.values()))
    return judged


def _out_of_time(run: _Blocks, outcome: Outcome, budget: float) -> Outcome:
    if outcome.metric != LATENCY:
        return outcome
    reason = f"undecided after {len(run.base)} blocks, when its {budget:g} s had passed"
    return replace(outcome, verdict=Verdict.INCONCLUSIVE, reason=reason)


def _measure(session: _Session, wanted: Sequence[tuple[_Blocks, int]]) -> None:
    """One block of every case, then the next of every case: what drifts falls on all alike."""
    most = max((count - len(run.base) for run, count in wanted), default=0)
    for _ in range(most):
        for run, count in wanted:
            if not run.ended and len(run.base) < count:
                began = time.monotonic()
                session.block(run)
                run.spent += time.monotonic() - began


class _Session:
    """The benches of base and head, and the outcomes of what goes wrong at them."""

    def __init__(
        self,
        base: Side,
        head: Side,
        min_time: float,
        progress: Progress,
        networks: Mapping[str, str],
        base_bench: Bench | None = None,
    ) -> None:
        self.progress = progress
        self._networks = networks
        self._base = base_bench or Bench(base, progress.during, min_time)
        self._head = Bench(head, progress.during, min_time)
        self._opened = [bench for bench in (self._base, self._head) if bench is not base_bench]

    def close(self) -> None:
        for bench in self._opened:
            bench.close()

    def prepare(self, run: _Blocks) -> None:
        with self._ending(run, self._base):
            digest, wanted = self._base.network(run.case), self._networks.get(run.case.id)
            if wanted is not None and digest not in (None, wanted):
                run.end(Verdict.INVALID, "base's network is not the one that the baseline was measured with")
        if not run.ended:
            with self._ending(run, self._head):
                self._head.prepare(run.case)
        if not run.ended:
            with self._ending(run, self._base):
                self._base.adopt(run.case, self._head)
                self._base.prepare(run.case)

    def block(self, run: _Blocks) -> None:
        """One more block; measured again, at most twice, where the machine was not in a state to measure."""
        reasons: tuple[str, ...] = ()
        number = len(run.base)
        for attempt in range(1 + _INVALID_RETRIES):
            if attempt:
                self.progress.more(2)
            replicates: dict[Bench, Replicate] = {}
            benches = (self._head, self._base) if run.orders[number] else (self._base, self._head)
            for bench in benches:
                with self._ending(run, bench):
                    what = f"block {number + 1}, {bench.side.name}"
                    replicates[bench] = bench.replicate(run.case, what, details=number < _PROFILED)
                if run.ended:
                    return
            base, head = replicates[self._base], replicates[self._head]
            reasons = disturbances(base, head)
            if not reasons:
                run.base.append(base)
                run.head.append(head)
                return
        reason = f"block {number + 1} was disturbed {1 + _INVALID_RETRIES} times: {', '.join(reasons)}"
        run.end(Verdict.INVALID, reason, busy_host.hint_for(reason))

    @contextlib.contextmanager
    def _ending(self, run: _Blocks, bench: Bench) -> Iterator[None]:
        try:
            yield
        except BackendUnavailable as error:
            run.end(Verdict.UNSUPPORTED, error.reason, error.hint)
        except InferkitError as error:
            verdict = Verdict.FAILED if bench is self._head else Verdict.INVALID
            run.end(verdict, f"{bench.side.name} could not be measured: {error}")


def disturbances(base: Replicate, head: Replicate) -> tuple[str, ...]:
    """Why a block says nothing: what either replicate found, and clocks of the GPU that differ between them."""
    reasons = [*base.invalid, *head.invalid]
    clocks = [(each.gpu or {}).get("sm_mhz_mean") for each in (base, head)]
    capped = any("power_cap" in ((each.gpu or {}).get("reasons") or ()) for each in (base, head))
    if all(clocks) and not capped and abs(math.log(clocks[1] / clocks[0])) > _CLOCK_DIFFERENCE:  # type: ignore[operator]
        reasons.append(f"the GPU ran at {clocks[0]:.0f} MHz for BASE and {clocks[1]:.0f} MHz for HEAD")
    return tuple(dict.fromkeys(reasons))
