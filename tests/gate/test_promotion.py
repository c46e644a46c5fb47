"""Moving a baseline: what changes is shown, what is worse needs a reason, what was not measured is kept."""

import math

import numpy as np
import pytest

from inferkit.errors import BaselineError
from inferkit.gate.baseline import Baseline, BaselineStore, CaseBaseline
from inferkit.gate.promotion import plan_promotion, promote
from inferkit.gate.run_file import read_run
from inferkit.gate.simple import SimpleRule
from inferkit.gate.verdict import Verdict
from tests.gate.run_files import MACHINE, foreign, ours, write

FAST, SLOW = [0.0100, 0.0101, 0.0102], [0.0150, 0.0151, 0.0152]


def plan(folder, content, *, old=None, accept=None):
    store = BaselineStore(folder / "baselines")
    if old is not None:
        logs = {name: CaseBaseline(tuple(math.log(time) for time in times)) for name, times in old.items()}
        store.write(Baseline(MACHINE, logs))
    run = read_run(write(folder / "run.json", content))
    return plan_promotion(run, store, accept=accept, rule=SimpleRule()), store


def test_a_first_baseline_holds_every_replicate_and_where_it_came_from(tmp_path):
    promotions, store = plan(tmp_path, ours({"a": FAST}, accuracy={"x": np.ones(50, bool)}))
    (path,) = promote(promotions, store)
    stored = store.find(MACHINE)
    assert path == store.path(MACHINE)
    assert [math.exp(value) for value in stored.cases["a"].log_medians] == pytest.approx(FAST, rel=1e-5)
    assert stored.cases["a"].memory == 1 << 20
    assert stored.accuracy["x"].images == 50
    assert stored.origin["commit"] == "0123abc"
    assert stored.origin["run"] == "run.json"


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
    stored = store.find(MACHINE)
    assert (stored.cases["a"].accepted, stored.cases["b"].accepted) == ("new layers", None)


def test_a_lost_accuracy_needs_a_reason_too(tmp_path):
    lost = {"case": "x", "metric": "top-1", "verdict": "REGRESSED", "baseline": 91.0, "now": 80.0, "change": 11.0}
    content = ours({"a": FAST}, accuracy={"x": np.ones(50, bool)}, outcomes=[lost])
    promotions, store = plan(tmp_path, content)
    with pytest.raises(BaselineError, match="x top-1: REGRESSED"):
        promote(promotions, store)


def test_an_invalid_case_is_left_out_and_keeps_its_old_value(tmp_path):
    invalid = {"case": "a", "metric": "latency", "verdict": "INVALID"}
    promotions, store = plan(tmp_path, ours({"a": SLOW, "b": FAST}, outcomes=[invalid]), old={"a": FAST})
    promote(promotions, store)
    assert promotions[0].left_out == ("a",)
    assert store.find(MACHINE).cases["a"].log_medians[0] == pytest.approx(math.log(FAST[0]), abs=1e-5)


def test_a_narrowed_run_keeps_what_it_did_not_measure(tmp_path):
    content = ours({"a": FAST}, declared={MACHINE.slug: ["a", "b"]}, narrowed=True)
    promotions, store = plan(tmp_path, content, old={"a": FAST, "b": FAST, "gone": FAST})
    promote(promotions, store)
    assert set(store.find(MACHINE).cases) == {"a", "b"}
    assert (promotions[0].kept, promotions[0].removed) == (("b",), ("gone",))


@pytest.mark.parametrize(
    "content, said",
    [
        (foreign({"a": 0.01}), "was not written by `pytest bench`"),
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
