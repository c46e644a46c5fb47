"""The reference network: where it moved the machine did, whatever the cases say; where it did not, the software did."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inferkit.gate.comparison import compare, exit_code
from inferkit.gate.files.run_file import read_run
from inferkit.gate.metrics import HOST_MEMORY, LATENCY, P99
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.reference import HINT, movement
from inferkit.gate.rules.moderated import ModeratedRule
from inferkit.gate.rules.rule import LogSamples
from tests.gate.run_files import MACHINE, ours, write

MARGIN = 0.25


def replicates(seed: int, change: float = 0.0, noise: float = 0.03, count: int = 3) -> tuple[float, ...]:
    return tuple(math.log(0.002) + math.log1p(change) + np.random.default_rng(seed).normal(0, noise, count))


def moved_between(name, base, head, cases, margin):
    """The movement of a reference; `cases` are (base, head) of the cases measured with it."""
    samples = [LogSamples(f"c{number}", *case, margin) for number, case in enumerate(cases)]
    return movement(LogSamples(name, base, head, margin), samples, ModeratedRule().evidence)


def moved(seed: int, change: float, noise: float = 0.03, margin: float = MARGIN):
    """The reference's movement, with ten cases that share its noise."""
    seeds = [seed + 100 * number for number in range(1, 11)]
    cases = [(replicates(each, noise=noise), replicates(each + 1, noise=noise)) for each in seeds]
    before, now = replicates(seed, noise=noise), replicates(seed + 1, change, noise)
    return moved_between("reference-1", before, now, cases, margin)


def outcome(verdict: Verdict, metric: str = LATENCY, change: float = 0.4) -> Outcome:
    return Outcome("a", metric, verdict, 0.001, 0.001 * (1 + change), change, reason="seen")


@pytest.mark.parametrize("change", [0.3, -0.25])
def test_a_machine_that_moved_is_seen(change):
    assert sum(moved(7000 * seed, change).moved for seed in range(100)) >= 95


def test_a_machine_that_did_not_is_left_alone():
    """A change within a quarter of the margin is none; the nominal error of 5 % is only met at its edge."""
    assert sum(moved(7000 * seed, 0.0).moved for seed in range(200)) <= 4
    assert sum(moved(7000 * seed, 0.06).moved for seed in range(200)) <= 20


def test_a_quiet_card_shows_a_small_movement():
    assert moved(1, 0.03, noise=0.002, margin=0.05).moved
    assert not moved(1, 0.01, noise=0.002, margin=0.05).moved


def test_what_the_machine_may_have_done_is_undecided_with_the_reason_and_the_hint():
    found = moved(1, 0.3)
    explained = found.explained(outcome(Verdict.REGRESSED))
    assert explained.verdict is Verdict.INCONCLUSIVE
    assert explained.reason.startswith("the reference network moved by +2")
    assert "the machine did; seen" in explained.reason
    assert (explained.hint, explained.machine) == (HINT, found.change)
    assert found.explained(outcome(Verdict.REGRESSED, "latency since v1")).verdict is Verdict.INCONCLUSIVE
    faster = moved(1, -0.25)
    assert faster.explained(outcome(Verdict.IMPROVED, P99, -0.3)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("change", [0.3, -0.25])
def test_a_case_that_went_much_further_or_the_other_way_keeps_its_verdict(change):
    """Both figures stand in the line."""
    found = moved(1, change)
    explained = found.explained(outcome(Verdict.REGRESSED, change=3.0))
    assert explained.verdict is Verdict.REGRESSED
    assert explained.machine is None
    assert "+300.0%" in explained.line
    assert f"the reference network moved by {found.change:+.1%}" in explained.line
    assert explained.hint == HINT


# A machine that is half as slow again for some seconds and quick for others; the replicates of twelve rounds.
QUICK, SLOW_STATE = 0.0, math.log(1.5)
FLIPS = tuple(SLOW_STATE if slow else QUICK for slow in (0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0))


def test_a_machine_that_flips_between_two_states_is_not_the_softwares_fault():
    """No movement can be shown of so wide a spread, and a case had more of its replicates in the slower state."""
    before = (QUICK,) * 9 + (SLOW_STATE,) * 3
    shaken = moved_between("reference-2", before, FLIPS[:3] + (QUICK,) * 9, [(before, FLIPS)] * 10, MARGIN)
    assert not shaken.moved
    explained = shaken.explained(outcome(Verdict.REGRESSED, change=0.4))
    assert explained.verdict is Verdict.INCONCLUSIVE
    assert "the machine is not steady: the reference network reached +3" in explained.reason
    assert explained.machine == pytest.approx(shaken.highest)


def test_more_than_the_machine_showed_is_the_softwares():
    before = (QUICK,) * 9 + (SLOW_STATE,) * 3
    shaken = moved_between("reference-2", before, FLIPS[:3] + (QUICK,) * 9, [(before, FLIPS)] * 10, MARGIN)
    assert shaken.explained(outcome(Verdict.REGRESSED, change=1.0)).verdict is Verdict.REGRESSED
    improved = outcome(Verdict.IMPROVED, change=-0.4)
    assert shaken.explained(improved) is improved  # the reference was never that quick


def test_the_noise_of_a_steady_machine_hides_nothing():
    steady = moved(1, 0.0, noise=0.002, margin=0.02)
    regressed = outcome(Verdict.REGRESSED, change=0.02)
    assert steady.explained(regressed) is regressed


def test_ordinary_scatter_of_the_reference_hides_no_regression():
    """Where every replicate differs by a percent, one that does so again says nothing of the machine."""
    before, now = (0.011, 0.0, -0.02, -0.001), (-0.03, 0.009, 0.002, -0.001, -0.014, 0.006)
    scattered = moved_between("reference-1", before, now, [(before, now)] * 10, 0.02)
    assert not scattered.moved
    assert (scattered.lowest, scattered.highest) == (0.0, 0.0)
    regressed = outcome(Verdict.REGRESSED, change=0.012)
    assert scattered.explained(regressed) is regressed


def test_what_is_no_time_and_what_did_not_change_keep_their_verdicts():
    found = moved(1, 0.3)
    for kept in (outcome(Verdict.REGRESSED, HOST_MEMORY), outcome(Verdict.PASS), outcome(Verdict.INCONCLUSIVE)):
        assert found.explained(kept) is kept
    regressed = outcome(Verdict.REGRESSED)
    assert moved(1, 0.0).explained(regressed) is regressed


def test_the_report_says_who_moved():
    shifted = [outcome(Verdict.PASS, change=change) for change in (0.15, 0.16, 0.17)]
    assert moved(1, 0.3).line(shifted).endswith("the machine did")
    assert "what passes may hide as much" in moved(1, -0.25).line([])
    steady = moved(1, 0.0, noise=0.01)
    said = steady.line(shifted)
    assert said.startswith("the suite's median moved by +16.0%, the reference network did not (")
    assert said.endswith("the software did")
    assert steady.line(shifted[:2]) == ""
    assert steady.line([outcome(Verdict.PASS, change=0.02)] * 5) == ""


def test_one_replicate_a_side_proves_no_movement():
    assert not moved_between("reference-1", (0.0,), (1.0,), [], MARGIN).moved


def file(folder, name, times, reference, **more):
    told = {"name": "reference-1", "log_medians": [math.log(time) for time in reference], "margin": MARGIN}
    return read_run(write(folder / name, ours(times, references={MACHINE.slug: told}, **more)))


FAST, SLOW = [0.0100, 0.0101, 0.0102], [0.0150, 0.0151, 0.0152]


def test_two_files_are_compared_with_their_references_in_mind(tmp_path):
    base = file(tmp_path, "base.json", {"a": FAST}, FAST)
    found = compare([base], [file(tmp_path, "head.json", {"a": SLOW}, SLOW)])
    assert [o.verdict for o in found.outcomes if o.metric == LATENCY] == [Verdict.INCONCLUSIVE]
    assert exit_code(found.outcomes) == 10
    assert "the machine did" in found.remarks[0]
    steady = compare([base], [file(tmp_path, "head.json", {"a": SLOW}, FAST)])
    assert [o.verdict for o in steady.outcomes if o.metric == LATENCY] == [Verdict.REGRESSED]


def test_a_file_whose_machine_was_blamed_is_sound_beside_another_of_the_same_state(tmp_path):
    blamed = {"case": "a", "metric": "latency", "verdict": "INVALID", "machine": 0.5, "reason": "the machine did"}
    files = [file(tmp_path, f"{n}.json", {"a": SLOW}, SLOW, outcomes=[blamed]) for n in range(2)]
    found = compare(files[:1], files[1:])
    assert [o.verdict for o in found.outcomes if o.metric == LATENCY] == [Verdict.PASS]


def test_files_without_a_reference_or_with_another_version_are_compared_as_before(tmp_path):
    base = read_run(write(tmp_path / "base.json", ours({"a": FAST})))
    head = file(tmp_path, "head.json", {"a": SLOW}, SLOW)
    for one, other in ((base, head), (head, base)):
        latency = [o.verdict for o in compare([one], [other]).outcomes if o.metric == LATENCY]
        assert latency in ([Verdict.REGRESSED], [Verdict.IMPROVED])
    newer = ours({"a": FAST}, references={MACHINE.slug: {"name": "reference-2", "log_medians": [0.0]}})
    found = compare([read_run(write(tmp_path / "newer.json", newer))], [head])
    assert [o.verdict for o in found.outcomes if o.metric == LATENCY] == [Verdict.REGRESSED]
