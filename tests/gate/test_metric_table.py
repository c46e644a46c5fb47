"""A metric is one row of one table: this file adds one, and files, judge, baseline and history have it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inferkit.gate.comparison import compare
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.run_file import read_run
from inferkit.gate.history.summary import summary_of
from inferkit.gate.metrics import METRICS, Metric, Test, data_of
from inferkit.gate.outcome import Verdict
from inferkit.gate.promotion import plan_promotion, promote
from inferkit.gate.units import Unit
from inferkit.measure.latency.replicate import Replicate
from tests.gate.run_files import MACHINE, ours, write

TOKENS = Metric(
    "tokens/s",
    Unit.COUNT,
    "tokens_per_second",
    Test.MARGIN,
    lambda mode, replicates: [each.service["tokens_per_second"] for each in replicates if each.service],
    margin=0.03,
    higher_is_better=True,
)
TIMES = [0.0100, 0.0101, 0.0102]


@pytest.fixture
def _tokens(monkeypatch):
    monkeypatch.setitem(METRICS, TOKENS.name, TOKENS)


def run_with(folder, name, rates):
    content = ours({"llm": TIMES})
    content["inferkit"]["cases"]["llm"]["tokens_per_second"] = rates
    return read_run(write(folder / f"{name}.json", content))


@pytest.mark.usefixtures("_tokens")
def test_its_datum_comes_from_the_replicates():
    nothing = (None,) * 6
    replicates = [
        Replicate(np.full((1, 6), 0.01), -4.6, 1, *nothing, {}, {}, service={"tokens_per_second": rate})
        for rate in (100.0, 101.0)
    ]
    assert data_of("latency", replicates)["tokens_per_second"] == (100.0, 101.0)


@pytest.mark.usefixtures("_tokens")
@pytest.mark.parametrize(
    "rates, verdict",
    [
        ((100, 100.2, 99.8), Verdict.PASS),
        ((90, 90.2, 89.8), Verdict.REGRESSED),
        ((111, 111.2, 110.8), Verdict.IMPROVED),
    ],
)
def test_fewer_are_worse_and_more_are_better(tmp_path, rates, verdict):
    base = run_with(tmp_path, "base", [100.0, 100.2, 99.8])
    judged = compare([base], [run_with(tmp_path, "head", [float(rate) for rate in rates])]).of("llm", "tokens/s")
    assert judged is not None
    assert judged.verdict is verdict
    assert judged.margin == 0.03
    assert judged.base == pytest.approx(100, rel=1e-3)  # the geometric mean
    assert judged.head == pytest.approx(math.prod(rates) ** (1 / 3))


@pytest.mark.usefixtures("_tokens")
def test_its_line_says_values_and_the_change_of_the_rate_itself(tmp_path):
    base, head = (run_with(tmp_path, name, [rate] * 3) for name, rate in (("base", 100.0), ("head", 80.0)))
    line = compare([base], [head]).of("llm", "tokens/s").line
    assert line.startswith("llm tokens/s: REGRESSED: 100 -> 80, -20.0%")


@pytest.mark.usefixtures("_tokens")
def test_a_baseline_keeps_it_and_refuses_a_worse_one(tmp_path):
    store = BaselineStore(tmp_path / "baselines")
    promote(plan_promotion(run_with(tmp_path, "first", [100.0, 101.0, 99.0]), store), store)
    assert store.find(MACHINE).cases["llm"].data["tokens_per_second"] == (100.0, 101.0, 99.0)
    (promotion,) = plan_promotion(run_with(tmp_path, "second", [80.0, 81.0, 79.0]), store)
    assert [(outcome.metric, outcome.verdict) for outcome in promotion.refused] == [("tokens/s", Verdict.REGRESSED)]


@pytest.mark.usefixtures("_tokens")
def test_the_history_remembers_it(tmp_path):
    points = summary_of(run_with(tmp_path, "run", [100.0, 101.0, 99.0])).points
    assert [point.values for point in points if point.metric == "tokens/s"] == [(100.0, 101.0, 99.0)]


def test_without_its_row_it_is_not_there(tmp_path):
    base, head = (run_with(tmp_path, name, [rate] * 3) for name, rate in (("base", 100.0), ("head", 80.0)))
    assert compare([base], [head]).of("llm", "tokens/s") is None
