"""Builds told apart from runs: the components recovered, and no regression found in another build of the same."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.gate.builds import build_spread, by_build, comparable, judge_levels
from inferkit.gate.comparison import compare
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.run_file import read_run
from inferkit.gate.outcome import Verdict
from inferkit.gate.promotion import plan_promotion, promote
from inferkit.gate.rules.moderated import ModeratedRule
from inferkit.gate.rules.rule import LogSamples
from inferkit.gate.run import CaseRun
from tests.gate.run_files import ours, write

numbers = st.lists(st.tuples(st.floats(-12, 2), st.integers(0, 4)), min_size=1, max_size=20)


def simulated(random, builds, processes, between, within, shift=0.0):
    """Log-medians of `processes` of each of `builds` engines, and which engine each is of."""
    engines = np.repeat(random.normal(shift, between, builds), processes)
    return tuple(engines + random.normal(0, within, len(engines))), tuple(np.repeat(np.arange(builds), processes))


@given(numbers)
def test_one_datum_a_build_is_the_mean_of_its_processes(pairs):
    logs, builds = zip(*pairs, strict=True)
    data = by_build(logs, builds)
    assert len(data) == len(set(builds))
    weights = [builds.count(number) for number in sorted(set(builds))]
    assert np.average(data, weights=weights) == pytest.approx(np.mean(logs))


@given(numbers)
def test_the_components_do_not_depend_on_order_or_level(pairs):
    spread = build_spread(*zip(*pairs, strict=True))
    moved = build_spread([value + 3 for value, _ in reversed(pairs)], [number for _, number in reversed(pairs)])
    for one, other in ((spread.between, moved.between), (spread.within, moved.within)):
        assert (one is None) == (other is None)
        assert one is None or one == pytest.approx(other, abs=1e-6)


def test_known_components_are_recovered():
    random = np.random.default_rng(1)
    found = [build_spread(*simulated(random, 3, 2, between=0.02, within=0.003)) for _ in range(4000)]
    assert math.sqrt(np.mean([each.between**2 for each in found])) == pytest.approx(0.02, rel=0.05)
    assert math.sqrt(np.mean([each.within**2 for each in found])) == pytest.approx(0.003, rel=0.05)
    assert build_spread([0.0, 0.02, 0.01, 0.03], [0, 0, 1, 1]).text == (
        "2 builds: ±0.0% between builds, ±1.4% between processes of one"
    )


def test_what_cannot_be_known_is_not_told():
    assert asdict(build_spread([0.0], [])) == {"builds": 1, "replicates": 1, "between": None, "within": None}
    one_each = build_spread([0.0, 0.1], [0, 1])
    assert one_each.within is None
    assert one_each.between == pytest.approx(0.1 / math.sqrt(2))


def replicates(*logs, builds=()):
    return CaseRun(case="a", fingerprint="m", data={"log_medians": logs}, builds=builds)


def test_both_sides_are_brought_to_one_level():
    assert comparable(replicates(1, 2), replicates(3, 4)) == ((1, 2), (3, 4))
    assert comparable(replicates(1, 3, 5, 7, builds=(0, 0, 1, 1)), replicates(3, 4)) == ((2, 6), (3.5,))
    assert comparable(replicates(1, 3), replicates(3, 5, builds=(0, 1))) == ((2,), (3, 5))
    with pytest.raises(ValueError, match="one build for each"):
        by_build([1, 2], [0])


def test_another_build_of_the_same_network_is_no_regression_and_a_real_one_is_found():
    """Engines differ by 2 %, processes by 0.2 %; the margin is 5 %. One suite of ten cases, many times."""
    random = np.random.default_rng(7)
    rule = ModeratedRule(analyses=())

    def regressed(shift, engines):
        cases = []
        for number in range(10):
            head = simulated(random, 3, 2, 0.02, 0.002, shift if number == 0 else 0.0)
            base = simulated(random, 3, 2, 0.02, 0.002)
            # Else as if processes were replicates, of one engine each.
            sides = (
                comparable(*(replicates(*logs, builds=of) for logs, of in (base, head)))
                if engines
                else (base[0][:2], head[0][:2])
            )
            cases.append(LogSamples(f"case{number}", *sides, 0.05))
        return [outcome.verdict is Verdict.REGRESSED for outcome in rule.judge(cases)]

    suites = 150
    assert sum(any(regressed(0.0, engines=True)) for _ in range(suites)) <= 0.05 * suites
    assert sum(any(regressed(0.0, engines=False)) for _ in range(suites)) > 0.5 * suites
    assert sum(regressed(0.2, engines=True)[0] for _ in range(suites)) > 0.9 * suites


def test_what_building_anew_costs_is_not_held_against_an_engine_from_the_cache(tmp_path):
    cached = ours({"a": [0.01, 0.0101, 0.0099]})
    anew = ours({"a": [0.01, 0.0101, 0.0099, 0.01, 0.0101, 0.0099]})
    anew["inferkit"]["cases"]["a"] |= {"builds": [0, 1, 2] * 2, "build_seconds": [9.0] * 6, "cold_start": [9.0] * 6}
    cached["inferkit"]["cases"]["a"] |= {"build_seconds": [1.0] * 3, "cold_start": [1.0] * 3}
    base, head = (read_run(write(tmp_path / f"{name}.json", run)) for name, run in (("a", cached), ("b", anew)))
    found = {outcome.metric: outcome for outcome in compare([base], [head]).outcomes}
    assert "build time" not in found
    assert "cold start" not in found
    assert (found["latency"].head_replicates, found["latency"].base_replicates) == (3, 1)
    pooled = compare([head, head], [head]).outcomes[0]
    assert (pooled.head_replicates, pooled.base_replicates) == (3, 6)


def test_a_promotion_judges_on_the_level_that_compare_judges_on(tmp_path):
    """One engine in six processes, then three builds of a changed network. One build of the slower is no slower."""
    random = np.random.default_rng(5)
    cached, anew = (ours({name: [0.01] * 6 for name in ("slower", "same")}, margin=0.05) for _ in "ab")
    for name, engines in (("slower", (0.0, 0.06, 0.06)), ("same", (0.005, 0.0, -0.005))):
        before, now = cached["inferkit"]["cases"][name], anew["inferkit"]["cases"][name]
        before |= {"log_medians": random.normal(-4.6, 0.002, 6).tolist(), "build_seconds": [1.0] * 6}
        before |= {"cold_start": random.normal(1.0, 0.01, 6).tolist()}
        now |= {"log_medians": random.normal(np.tile(engines, 2) - 4.6, 0.002).tolist(), "builds": [0, 1, 2] * 2}
        now |= {"build_seconds": [9.0, 9.1, 9.2] * 2, "cold_start": random.normal(9.0, 0.1, 6).tolist()}
    base, head = (read_run(write(tmp_path / f"{name}.json", run)) for name, run in (("a", cached), ("b", anew)))
    store = BaselineStore(tmp_path / "baselines")
    promote(plan_promotion(base, store), store)
    (promotion,) = plan_promotion(head, store)
    told = [(o.case, o.metric, o.verdict, o.head_replicates, o.base_replicates) for o in promotion.outcomes]
    assert told == [
        ("slower", "latency", Verdict.INCONCLUSIVE, 3, 1),
        ("same", "latency", Verdict.PASS, 3, 1),
    ]
    compared = [outcome for outcome in compare([base], [head]).outcomes if outcome.metric == "latency"]
    assert [outcome.verdict for outcome in compared] == [outcome.verdict for outcome in promotion.outcomes]
    assert promotion.refused == ()
    promote([promotion], store)
    for case in anew["inferkit"]["cases"].values():
        case["build_seconds"] = [30.0, 30.3, 30.6] * 2
    (again,) = plan_promotion(read_run(write(tmp_path / "c.json", anew)), store)
    # Both sides are of three builds now, so building is compared too.
    assert {(o.metric, o.head_replicates, o.base_replicates) for o in again.outcomes} == {
        ("latency", 3, 3),
        ("build time", 3, 3),
    }
    assert {o.verdict for o in again.refused} == {Verdict.REGRESSED}


def test_a_new_case_of_several_builds_takes_no_error_from_the_cases_that_are_compared():
    """Only what has a base is tested, so only that shares the error: else the others would be seen less sharply."""
    old = LogSamples("old", (-4.6, -4.601, -4.599), (-4.58, -4.581, -4.579), 0.05)
    new = LogSamples("new", (), (-4.6, -4.61, -4.59), 0.05)
    rule = ModeratedRule(analyses=())
    (alone,) = judge_levels(rule, [old], set())
    beside, _ = judge_levels(rule, [old, new], {"new"})
    assert beside.mde == alone.mde
