"""The gate on suites with known truth; the long versions are what docs/gate-measured.md reports."""

import numpy as np
import pytest

from inferkit.gate.outcome import Verdict
from tools.gate.simulate import GRAPH_REPLAY, NOISY_SUITE, Noise, against_baseline, interleaved


def suite(size, noises=NOISY_SUITE):
    return [noises[case % len(noises)] for case in range(size)]


@pytest.mark.slow
def test_identical_noisy_suites_of_200_cases_hardly_ever_fail():
    random = np.random.default_rng(1)
    failed = sum(
        any(verdict is Verdict.REGRESSED for verdict in against_baseline(suite(200), [0.0] * 200, random).verdicts)
        for _ in range(300)
    )
    assert failed <= 9  # a true rate of 1 % gives more than 9 of 300 once in 1,000 times


def test_identical_noisy_suites_rarely_fail():
    random = np.random.default_rng(2)
    failed = sum(
        any(verdict is Verdict.REGRESSED for verdict in against_baseline(suite(40), [0.0] * 40, random).verdicts)
        for _ in range(60)
    )
    assert failed <= 4  # a true rate of 1 % gives more than 4 of 60 once in 2,000 times


def test_two_percent_is_found_in_quiet_cases_against_a_baseline_of_three():
    random = np.random.default_rng(3)
    noises, effects = [GRAPH_REPLAY] * 12, [np.log(1.02)] + [0.0] * 11
    found = sum(against_baseline(noises, effects, random, 3).verdicts[0] is Verdict.REGRESSED for _ in range(60))
    assert found >= 54  # 95 % power gives fewer than 54 of 60 about once in 50 times; the seed is fixed


def test_two_percent_is_found_by_interleaved_blocks():
    random = np.random.default_rng(4)
    noises, effects = [Noise(process=0.005)] * 12, [np.log(1.02)] + [0.0] * 11
    outcomes = [interleaved(noises, effects, random) for _ in range(60)]
    assert sum(outcome.verdicts[0] is Verdict.REGRESSED for outcome in outcomes) >= 54


def test_quiet_cases_are_settled_without_further_measuring():
    outcome = against_baseline([GRAPH_REPLAY] * 20, [0.0] * 20, np.random.default_rng(5))
    assert set(outcome.counts) == {3}
    assert set(outcome.verdicts) == {Verdict.PASS}


def test_everyone_has_a_verdict_in_the_end():
    outcome = against_baseline(suite(24), list(np.linspace(-0.1, 0.1, 24)), np.random.default_rng(6))
    assert None not in outcome.verdicts
    assert outcome.verdicts[-1] in (Verdict.REGRESSED, Verdict.INCONCLUSIVE)
    assert max(outcome.counts) <= 20
