"""A line of commits whose times are drawn, and trials that judge them as measured blocks are judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.bisecting import SEARCH_ALPHA, ClassifyRule, Levels, VerifyRule, share_of
from inferkit.gate.rules.rule import BlockRule, LogSamples
from inferkit.suite.bisect.latency import Confirmation
from inferkit.suite.bisect.run import Answer, run_search
from inferkit.suite.bisect.search import Search, Step

# Draws so many blocks' noise (log ratios).
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
MEASURED = Path(__file__).resolve().parents[3] / "docs" / "measured"


def measured_blocks() -> Mapping[str, NDArray[np.float64]]:
    """The block differences of each case of a recorded run of `inferkit ab` on a shared CPU, around their median."""
    recorded = json.loads((MEASURED / "cpu-interleaved-two-percent.json").read_text())["log_medians"]
    differences = {case: np.subtract(sides["head"], sides["base"]) for case, sides in recorded.items()}
    return {case: values - np.median(values) for case, values in differences.items()}


def drawn_from(blocks: NDArray[np.float64]) -> Draw:
    """Blocks drawn from recorded ones, with either order of base and head."""
    return lambda random, count: random.choice(blocks, count) * random.choice([-1, 1], count)


class Line:
    """Commits "0" (GOOD) to the last (BAD), each the parent of the next."""

    def between(self, good: Sequence[str], bad: str) -> list[str]:
        first, last = max(map(int, good)) + 1, int(bad)
        middle = (first + last - 1) / 2
        return [str(number) for number in sorted(range(first, last + 1), key=lambda number: abs(number - middle))]


@dataclass
class SimulatedTrials:
    """`changes` are the log ratios of every commit to GOOD; those of `broken` cannot be measured."""

    changes: Sequence[float]
    draw: Draw
    random: np.random.Generator
    margin: float = 0.02
    broken: frozenset[int] = frozenset()
    blocks: int = field(default=0, init=False)

    def verify(self, search: Search) -> Search:
        rule = VerifyRule(share_of(SEARCH_ALPHA, search.planned, 0))
        outcome, differences = self._measured(search.bad, rule)
        noise = search.noise.including(differences)
        step = Step(search.bad, outcome)
        return replace(search, verification=step, levels=Levels(high=rule.verification.slowdown), noise=noise)

    def test(self, search: Search, commit: str) -> Search:
        if int(commit) in self.broken:
            return search.with_step(Step(commit, Outcome("case", LATENCY, Verdict.FAILED, reason="does not build")))
        test = search.tests + 1
        rule = ClassifyRule(search.levels, search.noise, share_of(SEARCH_ALPHA, search.planned, test))
        outcome, differences = self._measured(commit, rule)
        noise = search.noise.including(differences)
        return replace(search.with_step(Step(commit, outcome)), noise=noise, tests=test)

    def confirm(self, commit: str, parent: str) -> Confirmation:
        change = float(np.expm1(self.changes[int(commit)] - self.changes[int(parent)]))
        return Confirmation(Outcome("case", LATENCY, Verdict.REGRESSED, change=change))

    def _measured(self, commit: str, rule: BlockRule) -> tuple[Outcome, NDArray[np.float64]]:
        """As run_ab does it: blocks until the rule wants no more."""
        differences = np.empty(0)
        wanted = rule.plan.counts[0]
        while wanted:
            drawn = self.draw(self.random, wanted) + self.changes[int(commit)]
            differences = np.concatenate([differences, drawn])
            base = (-7.0,) * len(differences)
            samples = LogSamples("case", base, tuple(-7.0 + differences), self.margin)
            (outcome,) = rule.judge([samples])
            wanted = rule.more([outcome]).get("case", 0)
        self.blocks += len(differences)
        return outcome, differences


def searched(trials: SimulatedTrials) -> Answer:
    """The answer of a search through all its commits."""
    last = len(trials.changes) - 1
    return run_search(Search("0", str(last), last), Line(), trials, lambda commit: str(int(commit) - 1))


def slower_from(culprit: int, commits: int, share: float) -> list[float]:
    """The changes of GOOD and so many commits, one of which made it slower by this share."""
    return [0.0] * culprit + [float(np.log1p(share))] * (commits + 1 - culprit)
