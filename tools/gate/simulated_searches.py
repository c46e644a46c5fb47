"""How often a search for a slow commit is right: commits whose blocks are drawn, judged by the rules of real ones.

    python -m tools.gate.simulated_searches --searches 200

Noise is normal, normal with one block in twenty far off, or drawn from recorded blocks of a shared CPU.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.bisecting import SEARCH_ALPHA, ClassifyRule, Levels, VerifyRule, share_of
from inferkit.gate.rules.rule import BlockRule, LogSamples
from inferkit.suite.bisect.run import Answer, run_search
from inferkit.suite.bisect.search import Search, Step
from inferkit.suite.bisect.trials import Confirmation
from tools import ROOT

# Draws so many blocks' noise (log ratios).
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
MEASURED = ROOT / "docs" / "measured"
COMMITS = 32


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
        test = search.next_test
        rule = VerifyRule(share_of(SEARCH_ALPHA, search.planned, test))
        outcome, differences = self._measured(search.bad, rule)
        noise = search.noise.including(differences)
        step = Step(search.bad, outcome)
        levels = Levels(high=rule.verification.slowdown)
        return replace(search, verification=step, levels=levels, noise=noise, tests=test)

    def test(self, search: Search, commit: str) -> Search:
        if int(commit) in self.broken:
            return search.with_step(Step(commit, Outcome("case", LATENCY, Verdict.FAILED, reason="does not build")))
        test = search.next_test
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


def normal(deviation: float) -> Draw:
    """Blocks of this standard deviation."""
    return lambda random, count: random.normal(0, deviation, count)


def with_odd_processes(deviation: float) -> Draw:
    """One block in twenty is far off, to either side: a process that shared its core."""

    def draw(random: np.random.Generator, count: int) -> NDArray[np.float64]:
        odd = (random.random(count) < 0.05) * random.choice([-1, 1], count)
        return random.normal(0, deviation, count) + odd * random.exponential(8 * deviation, count)

    return draw


def answers(draw: Draw, share: float, searches: int, seed: int = 1) -> tuple[Counter[str], list[int]]:
    """What so many searches said, each with another slow commit, and how many blocks they took."""
    random = np.random.default_rng(seed)
    said: Counter[str] = Counter()
    blocks = []
    for _ in range(searches):
        culprit = int(random.integers(1, COMMITS + 1))
        trials = SimulatedTrials(slower_from(culprit, COMMITS, share), draw, random)
        answer = searched(trials)
        blocks.append(trials.blocks)
        if answer.found is not None:
            said["right" if answer.found == str(culprit) else "wrong"] += 1
        else:
            said["among several" if str(culprit) in answer.suspects else "undecided"] += 1
    return said, blocks


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=200, help="of each kind of noise (default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.03, help="the slowdown (default: %(default)s)")
    arguments = parser.parse_args(argv)
    kinds = {f"normal, {100 * noise:g} %": normal(noise) for noise in (0.005, 0.01, 0.02)}
    kinds |= {f"odd blocks, {100 * noise:g} %": with_odd_processes(noise) for noise in (0.005, 0.01, 0.02)}
    for case, blocks in measured_blocks().items():
        kinds[f"{case}, {100 * blocks.std():.1f} %"] = drawn_from(blocks)
    words = ("right", "among several", "undecided", "wrong")
    print(f"| noise of a block | {' | '.join(words)} | blocks, median |\n|{' --- |' * 6}")
    for name, draw in kinds.items():
        said, counts = answers(draw, arguments.share, arguments.searches)
        print(f"| {name} | {' | '.join(str(said[word]) for word in words)} | {np.median(counts):g} |")


if __name__ == "__main__":
    main()
