"""Suites with known truth: simulated noise of processes, sessions and iterations, put through the gate's own rules.

The noise model: log latency = case + session + process + iteration. A process adds a draw with heavy tails (Student's
t), some cases are bimodal (a process lands in one of two states), some have rare slow processes, the session adds a
shift common to all cases and a drift over the run, iterations are correlated within their process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inferkit.gate.rules.enough import more_for_baseline
from inferkit.gate.rules.moderated import ANALYSES, CONFIRMED
from inferkit.gate.rules.rule import LogSamples
from inferkit.gate.stats.analyses import AnalysisPlan
from inferkit.gate.stats.effect import Evidence, independent, paired
from inferkit.gate.stats.judge import Judgement, Policy
from inferkit.gate.stats.sequential import advance, begin

BASELINE_LOOKS = AnalysisPlan(ANALYSES, least=CONFIRMED)
AB_LOOKS = AnalysisPlan((4, 8, 12, 20))


@dataclass(frozen=True)
class Noise:
    """The noise of one case, as standard deviations of log latency.

    process: between fresh processes. tail_dof: degrees of freedom of its Student's t. modes: distance of the two
    states of a bimodal case (0: none). slow_share, slow_size: how often a process is slow and by how much (mean of an
    exponential). iteration, correlation: within a process, lag-1. iterations: samples per process.
    """

    process: float
    tail_dof: float = 6.0
    modes: float = 0.0
    slow_share: float = 0.0
    slow_size: float = 0.0
    iteration: float = 0.004
    correlation: float = 0.6
    iterations: int = 280

    def medians(self, count: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Log-medians of `count` fresh processes around 0.

        The median of n correlated iterations is drawn from its limiting distribution (variance π/2 · σ²/n_effective).
        """
        scale = self.process / np.sqrt(self.tail_dof / (self.tail_dof - 2))
        value = scale * random.standard_t(self.tail_dof, count)
        if self.modes:
            value = value + self.modes * (random.random(count) < 0.5)
        if self.slow_share:
            value = value + (random.random(count) < self.slow_share) * random.exponential(self.slow_size, count)
        effective = self.iterations * (1 - self.correlation) / (1 + self.correlation)
        return value + self.iteration * np.sqrt(np.pi / 2 / effective) * random.standard_normal(count)


@dataclass(frozen=True)
class Recorded:
    """The noise of a case as it was recorded: log-medians of fresh processes, drawn with replacement."""

    log_medians: tuple[float, ...]

    def medians(self, count: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Log-medians of `count` processes around the mean of all."""
        values = np.asarray(self.log_medians)
        return random.choice(values - values.mean(), count)


class Drawn(Protocol):
    """Whatever log-medians of fresh processes can be drawn from."""

    def medians(self, count: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Log-medians of `count` processes around 0."""
        ...


# An H100 run by plain enqueue with clocks unlocked (between-process CV of the wall median: 2.8 %, 1.8 %, 0.35 % at
# batch 1, 8, 64; bimodal at batch 1, rare slow processes at batch 8), and the same card with graph replay.
ENQUEUE_BATCH_1 = Noise(process=0.017, tail_dof=5, modes=0.044, iteration=0.05)
ENQUEUE_BATCH_1_TAILS = Noise(process=0.028, tail_dof=4, iteration=0.05)
ENQUEUE_BATCH_8 = Noise(process=0.010, tail_dof=5, slow_share=0.12, slow_size=0.04, iteration=0.02)
ENQUEUE_BATCH_64 = Noise(process=0.0035, iteration=0.01)
GRAPH_REPLAY = Noise(process=0.003, iteration=0.006)
NOISY_SUITE = (ENQUEUE_BATCH_1, ENQUEUE_BATCH_1_TAILS, ENQUEUE_BATCH_8, ENQUEUE_BATCH_64)


@dataclass(frozen=True)
class Session:
    """What a whole run adds to every case: a common shift, and a drift from its first to its last replicate."""

    shift: float = 0.0
    drift: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """A judged suite: the judgement of each case, and the replicates (or blocks) each was measured with."""

    judgements: tuple[Judgement, ...]
    counts: tuple[int, ...]


def against_baseline(
    noises: Sequence[Drawn],
    effects: Sequence[float],
    random: np.random.Generator,
    *,
    baseline_replicates: int | None = 5,
    margin: float = 0.02,
    plan: AnalysisPlan = BASELINE_LOOKS,
    policy: Policy | None = None,
    session: Session | None = None,
) -> Outcome:
    """One run of a suite against its stored baseline, suspicious cases measured further. Effects are log ratios.

    `baseline_replicates` None: as many as each case needs to gate at its margin (`pytest bench --for-baseline`).
    """
    run = session or Session()
    if baseline_replicates is None:
        stored = _grown(noises, random, margin, plan)
    else:
        stored = [noise.medians(baseline_replicates, random) for noise in noises]
    drift = run.shift + run.drift * np.linspace(0, 1, plan.counts[-1])
    measured = [
        noise.medians(plan.counts[-1], random) + effect + drift for noise, effect in zip(noises, effects, strict=True)
    ]
    return _play(
        lambda case, count: independent(stored[case], measured[case][:count]), len(noises), margin, plan, policy, 0.5
    )


def _grown(
    noises: Sequence[Drawn], random: np.random.Generator, margin: float, plan: AnalysisPlan
) -> list[NDArray[np.float64]]:
    measured = [noise.medians(plan.counts[0], random) for noise in noises]
    while True:
        suite = [LogSamples(str(case), tuple(values), (), margin) for case, values in enumerate(measured)]
        wanted = more_for_baseline(suite, plan.counts)
        if not wanted:
            return measured
        for case, count in wanted.items():
            index = int(case)
            measured[index] = np.append(measured[index], noises[index].medians(count, random))


def interleaved(
    noises: Sequence[Drawn],
    effects: Sequence[float],
    random: np.random.Generator,
    *,
    margin: float = 0.02,
    plan: AnalysisPlan = AB_LOOKS,
    policy: Policy | None = None,
) -> Outcome:
    """One interleaved A/B run: each block holds a fresh process of either side. Effects are log ratios."""
    blocks = plan.counts[-1]
    differences = [
        noise.medians(blocks, random) + effect - noise.medians(blocks, random)
        for noise, effect in zip(noises, effects, strict=True)
    ]
    return _play(lambda case, count: paired(differences[case][:count]), len(noises), margin, plan, policy, 0.0)


def _play(
    evidence: Callable[[int, int], Evidence],
    cases: int,
    margin: float,
    plan: AnalysisPlan,
    policy: Policy | None,
    suspicion: float,
) -> Outcome:
    trial = begin([margin] * cases, plan, policy, suspicion)
    counts = [plan.counts[0]] * cases
    known = [evidence(case, counts[case]) for case in range(cases)]
    trial = advance(trial, known)
    while trial.waiting:
        for case in trial.waiting:
            counts[case] = trial.count(case)
            known[case] = evidence(case, counts[case])
        trial = advance(trial, known)
    return Outcome(trial.judgements, tuple(counts))
