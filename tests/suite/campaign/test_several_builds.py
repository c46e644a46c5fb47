"""When a case is measured on several builds, on which, and how it is judged; real engines of TensorRT-RTX."""

import json
from dataclasses import replace

import numpy as np
import pytest

import inferkit
from inferkit.backends.tensorrt import load_engine
from inferkit.gate.builds import judge_levels
from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.moderated import ModeratedRule
from inferkit.gate.rules.rule import LogSamples
from inferkit.gate.run import CaseRun
from inferkit.measure.case import Case
from inferkit.measure.engine.prepared_network import prepared_facts
from inferkit.measure.latency.replicate import Replicate
from inferkit.suite.campaign.artifacts import own_cache
from inferkit.suite.campaign.builds import (
    AUTOMATIC,
    MOST,
    lacking,
    more_processes,
    next_build,
    plan_builds,
    with_spread,
)
from inferkit.suite.campaign.digests import digest_of_network
from inferkit.suite.campaign.facts import latency_facts
from inferkit.suite.campaign.records import CaseRecord
from inferkit.suite.matrix.definition import NetworkDefinition


def record_of(backend="tensorrt"):
    return CaseRecord(Case("lenet", "fp32", 1, backend), NetworkDefinition("lenet", "lenet"), 0.05)


def replicate(log_median=-7.0, build=0):
    trace = np.array([[0, 0, 1, 0, np.exp(log_median), np.nan]])
    return Replicate(trace, log_median, 1, None, None, None, None, None, None, {}, {}, build=build)


def stored(*log_medians, **more):
    return CaseRun(case="lenet-fp32-b1-tensorrt", fingerprint="here", data={"log_medians": log_medians}, **more)


@pytest.fixture
def prepared(tmp_path):
    (tmp_path / "network.json").write_text(json.dumps({"digest": "0123456789abcdef"}))
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "former", "builds"),
    [
        (None, None, 1),
        (None, stored(0.0), 1),
        (None, stored(0.0, network="0123456789ab"), 1),
        (None, stored(0.0, network="another"), AUTOMATIC),
        (None, stored(0.0, 0.0, builds=(0, 1)), AUTOMATIC),
        (1, stored(0.0, network="another"), 1),
        (4, None, 4),
    ],
)
def test_a_changed_network_is_built_more_than_once_unless_told_otherwise(prepared, wanted, former, builds):
    digest = digest_of_network(prepared_facts(prepared))
    record = replace(record_of(), network_digest=digest)
    plan_builds(record, wanted, former)
    assert record.builds == builds
    assert bool(record.builds_reason) == (wanted is None and builds > 1)
    on_cpu = record_of("onnxruntime")  # builds in every process anyway
    plan_builds(on_cpu, wanted, former)
    assert (on_cpu.builds, next_build(on_cpu)) == (1, None)


def test_builds_take_turns_and_each_gets_its_processes():
    record = replace(record_of(), builds=3)
    order = []
    while lacking(record):
        order.append(next_build(record))
        record.replicates.append(replicate(build=order[-1]))
    assert order == [0, 1, 2, 0, 1, 2]
    assert more_processes(record, 2) == 4
    assert more_processes(record, 100) == 2 * MOST - 6
    record.replicates = [each for each in record.replicates if each.build != 1]  # spoiled by the machine
    assert next_build(record) == 1


def test_the_line_and_the_facts_tell_the_spread_between_builds_and_within():
    record = replace(record_of(), builds=2, builds_reason="the network differs from the baseline's")
    record.replicates = [replicate(-7.0, 0), replicate(-6.9, 1), replicate(-7.0, 0), replicate(-6.9, 1)]
    outcome = with_spread(Outcome("a", LATENCY, Verdict.PASS, reason="fine"), record)
    assert outcome.reason == (
        "fine; 2 builds: ±7.1% between builds, ±0.0% between processes of one (the network differs from the baseline's)"
    )
    facts = latency_facts(record)
    assert facts["builds"] == [0, 1, 0, 1]
    assert facts["build_spread"]["between"] == pytest.approx(0.1 / np.sqrt(2))


def test_engines_and_processes_are_judged_apart_in_the_order_given():
    """Quiet processes must not make the few engines of another case look quiet."""
    random = np.random.default_rng(3)
    quiet = [LogSamples(f"quiet{n}", *(tuple(random.normal(0, 0.002, 5)) for _ in "ab"), 0.05) for n in range(20)]
    engines = LogSamples("engines", (0.0,), (0.05, 0.06, 0.04), 0.05)
    suite = [*quiet[:3], engines, *quiet[3:]]
    rule = ModeratedRule(analyses=())
    apart = judge_levels(rule, suite, {"engines"})
    assert [outcome.case for outcome in apart] == [case.case for case in suite]
    half = replace(rule, policy=replace(rule.policy, alpha=rule.policy.alpha / 2))
    assert apart[3] == half.judge([engines])[0] != half.judge(suite)[3]
    assert [outcome for outcome in apart if outcome.case != "engines"] == half.judge(quiet)
    assert judge_levels(rule, quiet, set()) == rule.judge(quiet)


@pytest.mark.tensorrt_rtx
def test_real_engines_are_built_apart_and_leave_nothing_for_each_other(tmp_path, monkeypatch):
    """As a campaign has them built, but for its lease of the GPU, which there need not be one of."""
    monkeypatch.setenv("INFERKIT_CACHE", str(tmp_path / "cache"))
    network = inferkit.load("lenet")
    files = []
    for number in range(2):
        engine = inferkit.build(network, backend="tensorrt", max_batch=1, cache=False, timings=False)
        assert engine.path is None
        assert not engine.from_cache
        folder = tmp_path / str(number)
        folder.mkdir()
        engine.save(folder / "engine.plan")
        files.append(str(folder / "engine.plan"))
    assert not list((tmp_path / "cache").glob("engines/**/*.plan"))
    assert len({load_engine(file).plan_info.network_digest for file in files}) == 1
    caches = {own_cache(file, number)["INFERKIT_CACHE"] for number, file in enumerate(files)}
    assert len(caches) == 2
    assert own_cache(files[0], None) == {}
