"""Moving a baseline: what changes is shown, what is worse needs a reason, what was not measured is kept."""

import math
from dataclasses import replace

import numpy as np
import pytest

from inferkit.errors import BaselineError
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.run_file import read_run
from inferkit.gate.outcome import Verdict
from inferkit.gate.promotion import plan_promotion, promote
from tests.gate.run_files import MACHINE, foreign, measured, ours, stored, write

FAST, SLOW = [0.0100, 0.0101, 0.0102], [0.0150, 0.0151, 0.0152]


def plan(folder, content, *, old=None, accept=None, skip_invalid=False, reference=(), **options):
    store = BaselineStore(folder / "baselines")
    if old is not None:
        logs = {name: [math.log(time) for time in times] for name, times in old.items()}
        store.write(stored(logs, reference=STEADY))
    run = read_run(write(folder / "run.json", content))
    return plan_promotion(run, store, accept=accept, skip_invalid=skip_invalid, **options), store


def test_a_first_baseline_holds_every_replicate_and_where_it_came_from(tmp_path):
    promotions, store = plan(tmp_path, ours({"a": FAST}, accuracy={"x": np.ones(50, bool)}))
    (path,) = promote(promotions, store)
    kept = store.find(MACHINE)
    assert path == store.path(MACHINE)
    assert [math.exp(value) for value in kept.cases["a"].log_medians] == pytest.approx(FAST, rel=1e-5)
    assert kept.cases["a"].data["build_seconds"] == (0.1,) * 3
    assert kept.accuracy["x"].images == 50
    assert kept.origin.commit == "0123abc"
    assert kept.origin.source == "run.json"


def test_a_regression_needs_a_reason_and_nothing_is_written_without(tmp_path):
    promotions, store = plan(tmp_path, ours({"a": SLOW}), old={"a": FAST})
    before = store.path(MACHINE).read_bytes()
    assert promotions[0].outcomes[0].verdict is Verdict.REGRESSED
    with pytest.raises(BaselineError, match=r"a latency: REGRESSED(?s:.*)--accept-regression REASON"):
        promote(promotions, store)
    assert store.path(MACHINE).read_bytes() == before


def test_the_reason_is_stored_with_the_cases_that_needed_it(tmp_path):
    promotions, store = plan(tmp_path, ours({"a": SLOW, "b": FAST}), old={"a": FAST, "b": FAST}, accept="new layers")
    promote(promotions, store)
    kept = store.find(MACHINE)
    assert (kept.cases["a"].accepted, kept.cases["b"].accepted) == ("new layers", None)


def test_a_lost_accuracy_needs_a_reason_too(tmp_path):
    lost = {"case": "x", "metric": "top-1", "verdict": "REGRESSED", "baseline": 91.0, "now": 80.0, "change": 11.0}
    content = ours({"a": FAST}, accuracy={"x": np.ones(50, bool)}, outcomes=[lost])
    promotions, store = plan(tmp_path, content)
    with pytest.raises(BaselineError, match="x top-1: REGRESSED"):
        promote(promotions, store)


def test_an_invalid_case_needs_a_reason_or_keeps_its_old_value(tmp_path):
    invalid = {"case": "a", "metric": "latency", "verdict": "INVALID", "reason": "the GPU was throttled"}
    content = ours({"a": SLOW, "b": FAST}, outcomes=[invalid])
    promotions, store = plan(tmp_path, content, old={"a": FAST})
    with pytest.raises(BaselineError, match=r"a latency: INVALID: .*throttled(?s:.*)--skip-invalid"):
        promote(promotions, store)
    promotions, _ = plan(tmp_path, content, skip_invalid=True)
    promote(promotions, store)
    assert promotions[0].left_out == ("a",)
    assert store.find(MACHINE).cases["a"].log_medians[0] == pytest.approx(math.log(FAST[0]), abs=1e-5)
    assert "b" in store.find(MACHINE).cases
    promotions, _ = plan(tmp_path, content, accept="the card is always throttled")
    promote(promotions, store)
    kept = store.find(MACHINE).cases["a"]
    assert kept.log_medians[0] == pytest.approx(math.log(SLOW[0]), abs=1e-5)
    assert kept.accepted == "the card is always throttled"


def test_more_memory_is_refused_too_and_shown(tmp_path):
    heavy = ours({"a": FAST})
    heavy["inferkit"]["cases"]["a"]["engine_bytes"] = 2_000_000
    store = BaselineStore(tmp_path / "baselines")
    light = measured("a", map(math.log, FAST), engine_bytes=[1_000_000])
    store.write(replace(stored({}), cases={"a": light}))
    promotions, _ = plan(tmp_path, heavy)
    assert [(o.metric, o.verdict) for o in promotions[0].outcomes] == [
        ("latency", Verdict.PASS),
        ("engine size", Verdict.REGRESSED),
    ]
    with pytest.raises(BaselineError, match="a engine size: REGRESSED"):
        promote(promotions, store)


def test_the_reason_for_a_lost_accuracy_is_stored(tmp_path):
    lost = {"case": "x", "metric": "top-1", "verdict": "REGRESSED", "baseline": 91.0, "now": 80.0, "change": 11.0}
    content = ours({"a": FAST}, accuracy={"x": np.ones(50, bool)}, outcomes=[lost])
    promotions, store = plan(tmp_path, content, accept="smaller on purpose")
    promote(promotions, store)
    assert store.find(MACHINE).accuracy["x"].accepted == "smaller on purpose"


# Three replicates of the reference network, and the same on a machine that is a third slower.
STEADY = tuple(map(math.log, (0.00100, 0.00101, 0.00102)))
MOVED = tuple(value + math.log(1.35) for value in STEADY)


def kept_reference(store):
    return store.find(MACHINE).references[MACHINE.slug]


def referred(logs, times=None, **more):
    """A run with the reference network's log-medians."""
    reference = {"name": "reference-1", "log_medians": list(logs), "margin": 0.25}
    return ours(times or {"a": FAST, "b": FAST}, references={MACHINE.slug: reference}, **more)


def test_the_reference_network_goes_with_the_cases(tmp_path):
    promotions, store = plan(tmp_path, referred(STEADY))
    promote(promotions, store)
    assert kept_reference(store).log_medians == tuple(round(v, 6) for v in STEADY)
    assert kept_reference(store).case == "reference-1"
    promotions, _ = plan(tmp_path, ours({"a": FAST, "b": FAST}))
    promote(promotions, store)
    assert store.find(MACHINE).references == {}  # that of another run would speak for these cases


def test_what_the_machine_did_is_not_called_a_regression_but_needs_a_reason(tmp_path):
    slow = {"a": SLOW, "b": SLOW}
    promotions, store = plan(tmp_path, referred(MOVED, slow), old={"a": FAST, "b": FAST}, reference=STEADY)
    assert {outcome.verdict for outcome in promotions[0].outcomes} == {Verdict.INCONCLUSIVE}
    assert promotions[0].remarks == ("the reference network moved by +35.0%: the machine did",)
    with pytest.raises(BaselineError, match=r"moved by \+35.0%: the machine did"):
        promote(promotions, store)
    promotions, _ = plan(tmp_path, referred(MOVED, slow), accept="new kernel on all runners")
    promote(promotions, store)
    assert kept_reference(store).log_medians[0] == pytest.approx(MOVED[0], abs=1e-5)


def test_a_part_of_the_cases_of_another_machine_state_is_not_mixed_in(tmp_path):
    part = referred(MOVED, {"a": FAST}, declared={MACHINE.slug: ["a", "b"]}, narrowed=True)
    promotions, store = plan(tmp_path, part, old={"a": FAST, "b": FAST}, reference=STEADY)
    with pytest.raises(BaselineError, match="1 cases would stay as before; promote a run of all cases"):
        promote(promotions, store)
    part = referred(STEADY, {"a": FAST}, declared={MACHINE.slug: ["a", "b"]}, narrowed=True)
    promotions, store = plan(tmp_path, part)
    promote(promotions, store)
    assert len(kept_reference(store).log_medians) == 6  # both runs', as both kinds of cases are there


def test_what_was_measured_on_a_busy_machine_is_promoted_only_where_that_is_said(tmp_path):
    content = ours({"a": FAST, "b": FAST}, busy_host=["a"])
    with pytest.raises(BaselineError, match=r"1 case was measured on a busy machine(?s:.*)--accept-busy-host"):
        plan(tmp_path, content)
    promotions, store = plan(tmp_path, content, accept_busy_host=True)
    promote(promotions, store)
    cases = store.find(MACHINE).cases
    assert (cases["a"].accepted, cases["b"].accepted) == ("measured on a busy machine", None)


def test_a_narrowed_run_keeps_what_it_did_not_measure(tmp_path):
    content = ours({"a": FAST}, declared={MACHINE.slug: ["a", "b"]}, narrowed=True)
    promotions, store = plan(tmp_path, content, old={"a": FAST, "b": FAST, "gone": FAST})
    promote(promotions, store)
    assert set(store.find(MACHINE).cases) == {"a", "b"}
    assert (promotions[0].kept, promotions[0].removed) == (("b",), ("gone",))


def test_what_failed_is_kept_and_named(tmp_path):
    content = ours({"a": FAST}, declared={MACHINE.slug: ["a", "b"]}, failures={"b": "no such file"})
    promotions, store = plan(tmp_path, content, old={"a": FAST, "b": FAST})
    promote(promotions, store)
    assert set(store.find(MACHINE).cases) == {"a", "b"}
    assert (promotions[0].kept, promotions[0].failed) == (("b",), ("b",))


@pytest.mark.parametrize(
    "content, said",
    [
        (foreign({"a": 0.01}), "was not written by a pytest run"),
        (ours({"a": FAST}, smoke=True), "--benchmark-disable"),
    ],
)
def test_what_holds_no_measurement_is_not_promoted(tmp_path, content, said):
    with pytest.raises(BaselineError, match=said):
        plan(tmp_path, content)


def test_a_damaged_baseline_is_not_overwritten(tmp_path):
    _, store = plan(tmp_path, ours({"a": FAST}), old={"a": FAST})
    store.path(MACHINE).write_text("{")
    with pytest.raises(BaselineError, match="is damaged"):
        plan(tmp_path, ours({"a": FAST}))
    assert store.path(MACHINE).read_text() == "{"
