"""Cases judged one by one, as pytest-xdist's workers do: no more false alarms than a whole suite, and as sharp eyes."""

from __future__ import annotations

import numpy as np
import pytest

from inferkit.gate.outcome import Verdict
from inferkit.gate.rules.moderated import OneByOne
from inferkit.gate.rules.rule import LogSamples

FAMILY = 10


def cases(seed: int, slower: float = 0.0, noise: float = 0.003, margin: float = 0.02) -> list[LogSamples]:
    """A suite in which the last case alone is slower."""
    chance = np.random.default_rng(seed)
    found = []
    for number in range(FAMILY):
        before, now = chance.normal(-7, noise, 3), chance.normal(-7, noise, 6)
        shift = np.log1p(slower) if number == FAMILY - 1 else 0.0
        found.append(LogSamples(f"case-{number}", tuple(before), tuple(now + shift), margin))
    return found


def one_after_another(suite: list[LogSamples]) -> list[Verdict]:
    rule = OneByOne(len(suite))
    return [rule.judge([case])[0].verdict for case in suite]


def test_suites_in_which_nothing_changed_do_not_cry_wolf():
    alarms = sum(Verdict.REGRESSED in one_after_another(cases(seed, noise=0.01)) for seed in range(30))
    assert alarms <= 3  # the nominal error is 2.5 % of the suites, and is not used up by three replicates


@pytest.mark.parametrize("slower", [0.05])
def test_a_slower_case_is_found_by_what_the_cases_before_it_showed_of_the_noise(slower):
    found = [one_after_another(cases(seed, slower)) for seed in range(15)]
    assert sum(verdicts[-1] is Verdict.REGRESSED for verdicts in found) >= 14
    assert not any(Verdict.REGRESSED in verdicts[:-1] for verdicts in found)


def test_what_has_no_baseline_or_is_invalid_is_passed_on():
    rule = OneByOne(2)
    (first,) = rule.judge([LogSamples("a", (), (-7.0, -7.1), 0.1)])
    (second,) = rule.judge([LogSamples("b", (-7.0, -7.1), (-7.0, -7.1), 0.1, invalid=("the GPU was throttled",))])
    assert (first.verdict, second.verdict) == (Verdict.NO_BASELINE, Verdict.INVALID)


def test_an_undecided_case_is_measured_further():
    rule = OneByOne(FAMILY)
    chance = np.random.default_rng(3)
    case = LogSamples("a", tuple(chance.normal(-7, 0.05, 3)), tuple(chance.normal(-6.95, 0.05, 3)), 0.05)
    outcomes = rule.judge([case])
    assert outcomes[0].verdict is Verdict.INCONCLUSIVE
    assert rule.more(outcomes) == {"a": 3}
