"""A baseline of noisy cases gets more replicates, one of quiet cases has six."""

from __future__ import annotations

import numpy as np
import pytest

from inferkit.gate.outcome import Verdict
from inferkit.gate.rules.enough import FEWEST, more_for_baseline
from inferkit.gate.rules.moderated import ANALYSES, ModeratedRule
from inferkit.gate.rules.rule import LogSamples


def measured(random: np.random.Generator, noise: list[float], counts: list[int], margin: float) -> list[LogSamples]:
    return [
        LogSamples(f"case{index}", (), tuple(random.normal(0, each, count)), margin)
        for index, (each, count) in enumerate(zip(noise, counts, strict=True))
    ]


def grown(noise: list[float], margin: float, seed: int) -> list[LogSamples]:
    """Measured on until there is enough of every case."""
    random = np.random.default_rng(seed)
    suite = measured(random, noise, [ANALYSES[0]] * len(noise), margin)
    while wanted := more_for_baseline(suite):
        suite = [
            LogSamples(c.case, (), c.head + tuple(random.normal(0, noise[i], wanted.get(c.case, 0))), margin)
            for i, c in enumerate(suite)
        ]
    return suite


def test_quiet_cases_have_enough_with_six() -> None:
    assert all(len(case.head) == FEWEST for case in grown([0.002] * 12, 0.02, seed=1))


def test_a_noisy_case_among_quiet_ones_is_measured_on_alone() -> None:
    counts = [len(case.head) for case in grown([0.002] * 11 + [0.03], 0.02, seed=2)]
    assert counts[-1] == ANALYSES[-1]
    assert max(counts[:-1]) <= ANALYSES[1]


def test_a_wide_margin_needs_fewer() -> None:
    narrow = sum(len(case.head) for case in grown([0.01] * 12, 0.02, seed=3))
    wide = sum(len(case.head) for case in grown([0.01] * 12, 0.10, seed=3))
    assert wide == 12 * FEWEST < narrow


def test_a_single_replicate_says_nothing_and_asks_for_nothing() -> None:
    assert more_for_baseline([LogSamples("one", (), (0.1,), 0.02)]) == {}
    assert more_for_baseline([]) == {}


@pytest.mark.parametrize("noise, slowdown", [(0.018, 0.05), (0.028, 0.10)])
def test_against_such_a_baseline_the_rule_finds_what_it_was_made_for(noise: float, slowdown: float) -> None:
    found = 0
    for seed in range(40):
        random = np.random.default_rng(100 + seed)
        base = grown([noise] * 12, slowdown, seed)
        suite = [
            LogSamples(c.case, c.head, tuple(random.normal(np.log1p(slowdown) if i == 0 else 0, noise, 20)), 0.02)
            for i, c in enumerate(base)
        ]
        found += ModeratedRule().judge(suite)[0].verdict is Verdict.REGRESSED
    assert found >= 38
