"""The rules of the metrics beside the latency, on known values."""

from dataclasses import replace

import numpy as np
import pytest

from inferkit.gate.metrics import HOST_MEMORY, METRICS
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.beside_latency import JudgedPair, judge_metrics
from inferkit.gate.stated.margins import parse_margin
from tests.gate.run_files import measured

BASE = {
    "log_p99": (-7.0, -7.01, -6.99),
    "log_execution": (-7.3, -7.302, -7.299),
    "memories": (200 << 20, 201 << 20, 200 << 20),
    "build_seconds": (2.0, 2.02, 1.99),
    "cold_start": (1.0, 1.02, 0.99),
    "device_memory": (1 << 30,),
    "engine_bytes": (1000,),
}


def changed(**values):
    return {**BASE, **values}


def pair(base, head, *, name="c", margin=0.05, rebuilt=False):
    return JudgedPair(measured(name, (), **base), measured(name, (), **head, rebuilt=rebuilt), margin)


def judged(head, *, rebuilt=False, base=BASE):
    return {o.metric: o for o in judge_metrics([pair(base, head, rebuilt=rebuilt)])}


def test_every_metric_that_both_sides_know_is_judged_and_the_same_passes():
    found = judged(BASE, rebuilt=True)
    assert set(found) == {"execution", "p99", "host memory", "build time", "cold start", "device memory", "engine size"}
    assert {o.verdict for o in found.values()} == {Verdict.PASS}


@pytest.mark.parametrize(
    "metric, head",
    [
        ("p99", changed(log_p99=(-6.7, -6.71, -6.69))),
        ("execution", changed(log_execution=(-7.24, -7.242, -7.239))),
        ("host memory", changed(memories=(260 << 20, 261 << 20, 262 << 20))),
        ("build time", changed(build_seconds=(3.0, 3.05, 2.99))),
        ("cold start", changed(cold_start=(2.0, 2.02, 1.99))),
        ("engine size", changed(engine_bytes=(1021,))),
    ],
)
def test_what_got_worse_is_named_and_nothing_else(metric, head):
    found = judged(head)
    assert {name for name, o in found.items() if o.verdict is Verdict.REGRESSED} == {metric}
    assert found[metric].line.startswith(f"c {metric}: REGRESSED: ")


def test_an_engine_rebuilt_by_timing_may_differ_a_little_and_the_growth_is_named():
    found = judged(changed(engine_bytes=(1001,)), rebuilt=True)["engine size"]
    assert (found.verdict, found.reason) == (Verdict.PASS, "1 bytes more")
    assert judged(changed(engine_bytes=(1050,)), rebuilt=True)["engine size"].verdict is Verdict.REGRESSED


def test_memory_of_a_gpu_may_grow_by_the_margin_only():
    assert judged(changed(device_memory=((1 << 30) + 4096,)), rebuilt=True)["device memory"].verdict is Verdict.PASS
    assert judged(changed(device_memory=(1100 << 20,)), rebuilt=True)["device memory"].verdict is Verdict.REGRESSED


def test_a_smaller_engine_improved():
    assert judged(changed(engine_bytes=(900,)))["engine size"].verdict is Verdict.IMPROVED


def test_a_small_process_may_grow_by_what_allocators_do():
    base = changed(memories=(1 << 20, 1 << 20, 1 << 20))
    head = changed(memories=tuple([(1 << 20) + METRICS[HOST_MEMORY].floor] * 3))
    assert judged(head, base=base)["host memory"].verdict is Verdict.PASS


def test_a_build_of_milliseconds_may_take_a_few_more():
    base, head = changed(build_seconds=(0.004,) * 3), changed(build_seconds=(0.012,) * 3)
    assert judged(head, base=base)["build time"].verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [(1.5, "PASS"), (2.9, "PASS"), (4.5, "REGRESSED"), (0.9, "PASS")],
)
def test_one_engine_run_by_many_processes_was_built_once(seconds, verdict):
    """Six equal times are no sign that builds do not vary: +50 % of one build is nothing yet."""
    base, head = changed(build_seconds=(1.0,) * 4), changed(build_seconds=(seconds,) * 6)
    outcome = judged(head, base=base)["build time"]
    assert str(outcome.verdict) == verdict
    assert "builds 1 against 1" in outcome.line
    several = judged(changed(build_seconds=(1.5, 1.52, 1.49) * 2), base=changed(build_seconds=(1.0, 1.02, 0.99)))
    assert several["build time"].verdict is Verdict.REGRESSED


def test_two_replicates_say_nothing_of_what_varies():
    two = dict.fromkeys(("log_execution", "log_p99"), (-1.0,) * 2)
    head = changed(**two, memories=(1 << 40,) * 2, build_seconds=(99.0,) * 2, cold_start=(99.0,) * 2)
    assert set(judged(head, base=head)) == {"engine size"}
    # The first of three may have compiled kernels for the others: the baseline's replicates tell how much they vary.
    assert set(judged(head)) == {"engine size", "host memory", "cold start"}


def test_what_one_side_does_not_know_is_not_judged():
    assert judged({}) == {}


def test_identical_noisy_suites_are_rarely_called_worse():
    random = np.random.default_rng(0)
    wrong = 0
    for _ in range(100):
        sides = [[{"build_seconds": tuple(np.exp(0.1 * random.standard_normal(3)))} for _ in "ab"] for _ in range(20)]
        outcomes = judge_metrics([pair(a, b, name=str(i)) for i, (a, b) in enumerate(sides)])
        wrong += any(o.verdict is Verdict.REGRESSED for o in outcomes)
    assert wrong <= 4  # 1 % of the suites are allowed; 4 of 100 have a chance of 0.4 % then


def test_bytes_are_shown_as_bytes():
    line = Outcome("c", "engine size", Verdict.REGRESSED, 1000, 12_345_678, 12.0, margin=0.0).line
    assert "1 kB -> 12.35 MB, +1200.0%, margin 0 %" in line


def test_two_percent_of_a_gpus_execution_are_found_where_the_wall_time_is_too_noisy_and_nothing_else():
    random = np.random.default_rng(5)
    found = {0.0: 0, 0.02: 0}
    rounds = 150
    for slower in found:
        for _ in range(rounds):
            cases = []
            for case in range(12):
                levels = -8 + 0.003 * random.standard_normal((2, 3))  # processes differ by 0.3 %, as on an H200
                levels[1] += slower if case == 0 else 0.0
                base, head = ({"log_execution": tuple(logs)} for logs in levels)
                cases.append(pair(base, head, name=str(case), margin=0.02))
            failed = {o.case for o in judge_metrics(cases) if o.verdict is Verdict.REGRESSED}
            found[slower] += "0" in failed if slower else bool(failed)
    assert found[0.02] >= 0.9 * rounds
    assert found[0.0] <= 6  # 1 % of 150 suites; more than 6 is chance once in a thousand


@pytest.mark.parametrize(
    ("base", "head", "verdict"),
    [
        (0, 1 << 30, "REGRESSED"),
        (0, 1 << 20, "PASS"),
        (0, 0, "PASS"),
        (1 << 30, 0, "IMPROVED"),
        (5, 11 << 20, "REGRESSED"),
    ],
)
def test_an_amount_holds_where_base_has_none_of_it(base, head, verdict):
    stated = {"device memory": parse_margin("10 MiB", METRICS["device memory"])}
    sides = pair({"device_memory": (base,)}, {"device_memory": (head,)}, rebuilt=True)
    (outcome,) = judge_metrics([replace(sides, head=replace(sides.head, margins=stated))])
    assert str(outcome.verdict) == verdict
    assert "10 MiB" in outcome.reason
