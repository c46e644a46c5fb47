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

from inferkit.gate.outcome import Verdict
from inferkit.gate.rules.moderated import ANALYSES, CONFIRMED
from inferkit.gate.stats.analyses import AnalysisPlan
from inferkit.gate.stats.effect import Evidence, independent, paired
from inferkit.gate.stats.sequential import TestedCase, advance
from tools.gate.rules import more_for_baseline

BASELINE_ANALYSES = AnalysisPlan(ANALYSES, least=CONFIRMED)
AB_ANALYSES = AnalysisPlan((4, 8, 12, 20))
MARGIN = 0.02


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
class Played:
    """A judged suite: the verdict of each case, and the replicates (or blocks) each was measured with."""

    verdicts: tuple[Verdict | None, ...]
    counts: tuple[int, ...]


def against_baseline(
    noises: Sequence[Drawn], effects: Sequence[float], random: np.random.Generator, stored: int | None = 5
) -> Played:
    """One run of a suite against its stored baseline, suspicious cases measured further. Effects are log ratios.

    `stored` replicates a case in the baseline; None: as many as each case needs to gate at its margin
    (`pytest bench --for-baseline`).
    """
    base = _grown(noises, random) if stored is None else [noise.medians(stored, random) for noise in noises]
    most = BASELINE_ANALYSES.counts[-1]
    head = [noise.medians(most, random) + effect for noise, effect in zip(noises, effects, strict=True)]
    return _play(lambda case, count: independent(base[case], head[case][:count]), len(noises), BASELINE_ANALYSES, 0.5)


def _grown(noises: Sequence[Drawn], random: np.random.Generator) -> list[NDArray[np.float64]]:
    measured = [noise.medians(BASELINE_ANALYSES.counts[0], random) for noise in noises]
    while wanted := more_for_baseline(measured, MARGIN, BASELINE_ANALYSES.counts):
        for case, count in wanted.items():
            measured[case] = np.append(measured[case], noises[case].medians(count, random))
    return measured


def interleaved(noises: Sequence[Drawn], effects: Sequence[float], random: np.random.Generator) -> Played:
    """One interleaved A/B run: each block holds a fresh process of base and head. Effects are log ratios."""
    blocks = AB_ANALYSES.counts[-1]
    differences = [
        noise.medians(blocks, random) + effect - noise.medians(blocks, random)
        for noise, effect in zip(noises, effects, strict=True)
    ]
    return _play(lambda case, count: paired(differences[case][:count]), len(noises), AB_ANALYSES, 0.0)


def _play(evidence: Callable[[int, int], Evidence], cases: int, plan: AnalysisPlan, suspicion: float) -> Played:
    trial = {str(case): TestedCase(MARGIN) for case in range(cases)}
    counts = dict.fromkeys(trial, 0)
    measured: dict[str, Evidence] = {}
    while waiting := {name: plan.counts[case.analysis] for name, case in trial.items() if case.waiting}:
        counts |= waiting
        measured |= {name: evidence(int(name), count) for name, count in waiting.items()}
        trial = advance(trial, measured, plan, suspicion)
    judged = (case.judgement for case in trial.values())
    verdicts = tuple((item and item.verdict) or Verdict.INCONCLUSIVE for item in judged)
    return Played(verdicts, tuple(counts.values()))
