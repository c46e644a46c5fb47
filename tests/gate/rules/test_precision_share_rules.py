"""Less of the work than the matrix asks for at its precision fails a case, with or without a base; layers are named."""

from __future__ import annotations

import pytest

from inferkit.backends.precision_share import OtherPrecision
from inferkit.errors import BaselineError
from inferkit.gate.comparison import compare, exit_code
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.run_file import read_run
from inferkit.gate.judging import judge
from inferkit.gate.metrics import METRICS
from inferkit.gate.outcome import Verdict, deciding
from inferkit.gate.promotion import plan_promotion, promote
from inferkit.gate.run import Run
from inferkit.gate.stated.margins import parse_margin
from tests.gate.run_files import MACHINE, measured, ours, write

TIMES = (-7.0, -7.01, -6.99)
OTHERS = tuple(OtherPrecision(f"conv{n}", "fp32", share) for n, share in enumerate((0.2, 0.1, 0.05, 0.05)))


def of(share, least=95.0, others=OTHERS, **more):
    data = {} if share is None else {"precision_share": (share,)}
    return measured("c", TIMES, **data, least_share=least, other_precisions=others, **more)


def judged(head, base=None):
    return judge(Run(cases={} if base is None else {"c": base}), Run(cases={"c": head}))


def test_a_case_below_its_least_share_fails_without_a_base_and_names_the_largest_layers():
    outcome = judged(of(60.0)).of("c", "precision share")
    assert (outcome.verdict, outcome.head, outcome.base) == (Verdict.FAILED, 60.0, None)
    assert "less than the 95 % that must run in the precision asked for" in outcome.reason
    assert "conv0 (fp32, 20 %), conv1 (fp32, 10 %), conv2 (fp32, 5 %) and 1 more" in outcome.reason
    assert "`precision_share` in the matrix" in outcome.line


@pytest.mark.parametrize(("share", "least"), [(95.0, 95.0), (100.0, 95.0), (0.0, None), (0.0, 0.0), (None, 95.0)])
def test_enough_of_it_nothing_asked_for_and_nothing_known_fail_nothing(share, least):
    assert judged(of(share, least)).of("c", "precision share") is None


def test_against_a_base_it_is_the_share_that_is_compared_and_the_least_share_that_fails():
    same = judged(of(100.0, others=()), of(100.0)).of("c", "precision share")
    assert (same.verdict, same.change, same.reason) == (Verdict.PASS, 0.0, "")
    lost = judged(of(80.0, least=None), of(100.0)).of("c", "precision share")
    assert (lost.verdict, lost.change, lost.margin) == (
        Verdict.REGRESSED,
        pytest.approx(0.25),
        0.05,
    )  # as what grows: 100 is a quarter more than 80
    assert lost.reason.startswith("20 points less; elsewhere: conv0 (fp32, 20 %)")
    assert judged(of(98.0), of(100.0)).of("c", "precision share").verdict is Verdict.PASS
    assert judged(of(100.0), of(80.0)).of("c", "precision share").verdict is Verdict.IMPROVED
    failed = judged(of(80.0), of(80.0)).of("c", "precision share")
    assert (failed.verdict, failed.base, failed.change) == (Verdict.FAILED, 80.0, 0.0)
    of_nothing = judged(of(10.0, least=None), of(0.0)).of("c", "precision share")
    assert of_nothing.verdict is Verdict.IMPROVED


def test_its_margin_may_be_stated_in_points():
    stated = {"precision share": parse_margin("2 points", METRICS["precision share"])}
    assert judged(of(97.0, margins=stated), of(100.0)).of("c", "precision share").verdict is Verdict.REGRESSED
    assert judged(of(98.5, margins=stated), of(100.0)).of("c", "precision share").verdict is Verdict.PASS


def test_it_decides_the_case_whose_latency_passes():
    outcomes = judged(of(60.0), of(60.0)).outcomes
    said = deciding(outcomes)
    assert (said.metric, said.verdict) == ("precision share", Verdict.FAILED)
    assert exit_code(outcomes) == 10  # no regression: it is not what was asked for


def run_with(folder, name, **case):
    content = ours({"c": [0.0100, 0.0101, 0.0102]})
    content["inferkit"]["cases"]["c"] |= case
    return read_run(write(folder / f"{name}.json", content))


LOW = {
    "precision_share": 60.0,
    "least_precision_share": 95.0,
    "other_precisions": [{"layer": "conv9", "precision": "fp32", "share": 0.4}],
}


def test_a_comparison_of_files_fails_it_with_the_layers_that_heads_file_names(tmp_path):
    base, head = run_with(tmp_path, "base", precision_share=100.0), run_with(tmp_path, "head", **LOW)
    line = compare([base], [head]).of("c", "precision share").line
    assert line.startswith("c precision share: FAILED: 100.00 % -> 60.00 %, -40.0%")
    assert "conv9 (fp32, 40 %)" in line


def test_of_several_files_the_lowest_share_counts(tmp_path):
    runs = [run_with(tmp_path, f"r{n}", precision_share=share) for n, share in enumerate((100.0, 90.0))]
    assert compare([runs[0]], runs).of("c", "precision share").head == 90.0


@pytest.mark.parametrize("others", [5, ["conv"], [{"layer": 1}], [{"layer": "a", "precision": "b", "share": 7.0}]])
def test_layers_that_are_damaged_are_left_out_and_a_damaged_share_is_refused(tmp_path, others):
    assert run_with(tmp_path, "run", **{**LOW, "other_precisions": others}).cases["c"].other_precisions == ()
    with pytest.raises(BaselineError, match="least_precision_share"):
        run_with(tmp_path, "run", **{**LOW, "least_precision_share": 101})


def test_a_baseline_keeps_it_and_no_run_below_its_least_share_becomes_one(tmp_path):
    store = BaselineStore(tmp_path / "baselines")
    promote([*plan_promotion(run_with(tmp_path, "good", precision_share=100.0), store)], store)
    assert store.find(MACHINE).cases["c"].data["precision_share"] == (100.0,)
    with pytest.raises(BaselineError, match="c precision share: FAILED"):
        promote([*plan_promotion(run_with(tmp_path, "low", **LOW), store)], store)
